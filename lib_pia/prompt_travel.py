"""Prompt travel: a prompt whose lines name frames, and what is said between two of them.

    a girl in a garden            the head, put before every text
    0: smiling                    said by frame 0 alone, and by the frames before the first number
    24: laughing                  in between, the two are mixed; after the last number nothing changes any more
                                  (an empty line, if you like)
    masterpiece                   the tail, put behind every text

The syntax is sd-webui-animatediff's; ComfyUI's `"24": "laughing",` is understood too. A line that follows a text and is
followed by another number continues that text. Numbers may stand in any order.
"""

from __future__ import annotations

import dataclasses
import re

from .errors import SettingsError

# A number followed by a colon, and not by a ratio, a time or a weight: "16:9 photo" and "12:30" name no frame.
_KEY = re.compile(r"\s*(\d{1,4})\s*:(?!\d+\b)\s*(.*?)\s*")
_QUOTED = r'"\s*(\d{1,4})\s*"\s*:\s*"((?:[^"\\]|\\.)*)"'
_QUOTED_LINE = re.compile(rf"\s*{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?\s*")
_NETWORK = re.compile(r"<\w+:[^<>]+>")  # <lora:name:1>
_WORD_FIRST = re.compile(r"(?:AND|BREAK)\b")
_WORD_LAST = re.compile(r".*\b(?:AND|BREAK)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Travel:
    """Texts by frame, ascending: `frames[k]` is where `texts[k]` is said alone.

    period: frames of a loop, after whose last text the first one comes again; 0 for other clips.
    """

    frames: tuple[int, ...]
    texts: tuple[str, ...]
    period: int = 0

    def text_at(self, frame: int) -> str:
        """The text of the last key frame up to `frame`; before the first one, that one's."""
        return self.texts[max((k for k, at in enumerate(self.frames) if at <= frame), default=0)]

    def between(self, frame: int) -> tuple[int, int, float]:
        """(key before, key after, share of the one after in [0, 1)) of a frame >= 0; the two keys are the same where
        one is said alone."""
        last = len(self.frames) - 1
        after = next((k for k, at in enumerate(self.frames) if at > frame), last + 1)
        before = after - 1
        if 0 <= before < last or (self.period and last):
            start, end = self.frames[before], self.frames[after % (last + 1)]
            length, gone = end - start, frame - start
            if before < 0 or after > last:
                length, gone = length % self.period, gone % self.period
            return (before % (last + 1), after % (last + 1), gone / length) if gone else (before, before, 0.0)
        edge = min(max(before, 0), last)
        return edge, edge, 0.0

    def unheard(self) -> list[str]:
        """Networks (`<lora:...>`) that a later text names and the first does not: the host takes the first one's."""
        first = set(_NETWORK.findall(self.texts[0]))
        later = (network for text in self.texts[1:] for network in _NETWORK.findall(text))
        return list(dict.fromkeys(network for network in later if network not in first))


def parse_travel(prompt: str, num_frames: int, loop: bool = False, what: str = "prompt") -> Travel | None:
    """The travel that a prompt asks for, or None for an ordinary prompt.

    A prompt travels if two of its lines name frames, or one names frame 0. `what` is what errors call the prompt.
    Raises SettingsError for a frame outside the clip and for one that is named twice.
    """
    lines = prompt.splitlines()
    named = [(place, frame, text) for place, line in enumerate(lines) for frame, text in _named(line)]
    if len(named) < 2 and not (named and named[0][1] == 0):
        return None
    head, tail = _joined(lines[: named[0][0]]), _joined(lines[named[-1][0] + 1 :])
    found: dict[int, str] = {}
    for number, (place, frame, text) in enumerate(named):
        if frame >= num_frames:
            raise SettingsError(
                f"The {what} has a text for frame {frame}, but the clip has {num_frames} frames; name frames from 0 to "
                f"{num_frames - 1}."
            )
        if frame in found:
            raise SettingsError(f"The {what} has two texts for frame {frame}; leave one of them out.")
        more = lines[place + 1 : named[number + 1][0]] if number + 1 < len(named) else []
        found[frame] = _joined([head, _joined([text, *more]), tail])
    frames = sorted(found)
    return Travel(tuple(frames), tuple(found[frame] for frame in frames), num_frames if loop else 0)


def put_around(prompt: str, before: str, after: str) -> str:
    """A prompt that travels with more of head and tail: what a style puts around every text."""
    before, after = before.strip(" \n,"), after.strip(" \n,")
    return (f"{before}\n" if before else "") + prompt.strip() + (f"\n\n{after}" if after else "")


def _named(line: str) -> list[tuple[int, str]]:
    """The frames that a line names, with their texts."""
    if match := _KEY.fullmatch(line):
        return [(int(match[1]), match[2])]
    if _QUOTED_LINE.fullmatch(line):
        return [(int(frame), re.sub(r'\\(["\\])', r"\1", text)) for frame, text in re.findall(_QUOTED, line)]
    return []


def _joined(parts: list[str]) -> str:
    """Parts of a text with commas between them, but none beside AND and BREAK."""
    whole = ""
    for part in (part.strip(" \t,") for part in parts):
        if part and whole:
            whole += " " if _WORD_FIRST.match(part) or _WORD_LAST.fullmatch(whole) else ", "
        whole += part
    return whole
