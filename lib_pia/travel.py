"""Prompt travel: a prompt whose lines name frames, and what is said between two of them.

    a girl in a garden            the head, put before every text
    0: smiling                    the text from frame 0 on
    24: laughing
                                  (an empty line)
    masterpiece                   the tail, put behind every text

The syntax is sd-webui-animatediff's; ComfyUI's `"24": "laughing",` is understood too.
"""

from __future__ import annotations

import dataclasses
import re

from .errors import SettingsError

KEY = re.compile(r"""^\s*"?(\d{1,4})"?\s*:\s*(.*?)\s*$""")
QUOTED = re.compile(r'^"(.*)"\s*,?$')
MOST_KEYS = 64  # own choice: each is encoded


@dataclasses.dataclass(frozen=True)
class Travel:
    """Texts by frame, ascending: `frames[k]` is where `texts[k]` is said alone."""

    frames: tuple[int, ...]
    texts: tuple[str, ...]

    def text_at(self, frame: int) -> str:
        """The text of the last key frame up to `frame`; before the first one, that one's."""
        return self.texts[self.between(frame)[0]]

    def between(self, frame: int) -> tuple[int, int, float]:
        """(key before, key after, share of the one after) of a frame; the two are the same at the ends."""
        after = next((k for k, at in enumerate(self.frames) if at > frame), len(self.frames) - 1)
        before = max(after - 1, 0) if self.frames[after] > frame else after
        length = self.frames[after] - self.frames[before]
        share = (frame - self.frames[before]) / length if length else 0.0
        return before, after, min(max(share, 0.0), 1.0)


def parse_travel(prompt: str, num_frames: int) -> Travel | None:
    """The travel that a prompt asks for, or None for an ordinary prompt. Raises SettingsError for a frame outside the
    clip, for one that is named twice, and for too many."""
    lines = prompt.splitlines()
    keys = [(number, match) for number, line in enumerate(lines) if (match := KEY.match(line))]
    if not keys:
        return None
    first, last = keys[0][0], keys[-1][0]
    empty = next((n for n in range(last + 1, len(lines)) if not lines[n].strip()), len(lines))
    head, tail = _joined(lines[:first]), _joined(lines[empty:])
    found: dict[int, str] = {}
    for place, (number, match) in enumerate(keys):
        frame = int(match[1])
        if frame >= num_frames:
            raise SettingsError(
                f"The prompt has a text for frame {frame}, but the clip has {num_frames} frames; name frames from 0 to "
                f"{num_frames - 1}."
            )
        if frame in found:
            raise SettingsError(f"The prompt has two texts for frame {frame}; leave one of them out.")
        end = keys[place + 1][0] if place + 1 < len(keys) else empty
        quoted = QUOTED.match(match[2])
        own = _joined([quoted[1] if quoted else match[2], *lines[number + 1 : end]])
        found[frame] = ", ".join(part for part in (head, own, tail) if part)
    if len(found) > MOST_KEYS:
        raise SettingsError(f"The prompt has texts for {len(found)} frames; at most {MOST_KEYS} can be named.")
    frames = sorted(found)
    return Travel(tuple(frames), tuple(found[frame] for frame in frames))


def _joined(lines: list[str]) -> str:
    return ", ".join(text for line in lines if (text := line.strip().strip(",").strip()))
