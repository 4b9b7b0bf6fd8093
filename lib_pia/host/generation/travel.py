"""What a clip's texts say to every frame: a prompt that travels has a text per frame.

The host encodes each different text of a batch once. Frames between two key frames get the encodings of both, mixed per
token for every stretch of steps in which neither changes, which is the mix of every step; so prompt editing and AND
keep working. The host's denoiser then reads the mixed encodings as it reads its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from modules import prompt_parser, shared
from torch import Tensor

from lib_pia.prompt_travel import Travel, parse_travel, put_around


def rows_of(conditioning: Any, frames: Sequence[int]) -> Any:
    """The conditioning of some rows, cut from that for all; the host's shared objects are not changed."""
    if conditioning is None:
        return None
    if hasattr(conditioning, "batch"):
        return _composed([conditioning.batch[row] for row in frames])
    if isinstance(conditioning, Tensor):
        return conditioning[list(frames)] if len(frames) < len(conditioning) else conditioning
    return [conditioning[row] for row in frames]


def _composed(batch: list) -> Any:
    return prompt_parser.MulticondLearnedConditioning(shape=(len(batch),), batch=batch)


@dataclasses.dataclass(frozen=True)
class Said:
    """How the prompts of a clip travel, if they do. known: rows in front of frame 0, which say what it says."""

    prompt: Travel | None = None
    negative: Travel | None = None
    known: int = 0

    @classmethod
    def of(cls, prompt: str, negative: str, num_frames: int, loop: bool = False, known: int = 0) -> Said:
        """The texts of a clip as they were typed. Raises SettingsError."""
        return cls(
            parse_travel(prompt, num_frames, loop), parse_travel(negative, num_frames, loop, "negative prompt"), known
        )

    def texts(self, travel: Travel | None, typed: list[str]) -> list[str]:
        """The text of each row that the host encodes."""
        if travel is None:
            return typed
        return [travel.text_at(max(row - self.known, 0)) for row in range(len(typed))]

    def cond(self, cond: Any, rows: Sequence[int]) -> Any:
        """The positive conditioning of `rows`, from the host's for all rows of the clip."""
        if self.prompt is None:
            return rows_of(cond, rows)
        keys = [_Parts.of(cond.batch[frame + self.known]) for frame in self.prompt.frames]
        count = max(len(key.schedules) for key in keys)
        tokens = _tokens(schedule for key in keys for schedule in key.schedules)
        keys = [key.filled(count, tokens) for key in keys]
        return _composed([self._between(self.prompt, row, keys, _Parts.mixed).composed() for row in rows])

    def uncond(self, uncond: Any, rows: Sequence[int]) -> Any:
        """The same of the negative conditioning."""
        if self.negative is None:
            return rows_of(uncond, rows)
        keys = [uncond[frame + self.known] for frame in self.negative.frames]
        tokens = _tokens(keys)
        keys = [_filled(key, tokens) for key in keys]
        return [self._between(self.negative, row, keys, _mixed) for row in rows]

    def _between(self, travel: Travel, row: int, keys: list, mixed: Callable[[Any, Any, float], Any]) -> Any:
        before, after, share = travel.between(max(row - self.known, 0))
        return mixed(keys[before], keys[after], share) if share else keys[before]


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The parts of a text that AND joins: a schedule and a weight of each."""

    schedules: list[list]
    weights: list[float]

    @classmethod
    def of(cls, composition: list) -> _Parts:
        return cls([part.schedules for part in composition], [part.weight for part in composition])

    def filled(self, count: int, tokens: int) -> _Parts:
        """With `count` parts, those that it does not have at weight 0, and encodings of `tokens`."""
        missing = count - len(self.schedules)
        schedules = [*self.schedules, *[None] * missing]
        filled = [schedule and _filled(schedule, tokens) for schedule in schedules]
        return _Parts(filled, [*self.weights, *[0.0] * missing])

    def mixed(self, other: _Parts, share: float) -> _Parts:
        """`share` of `other`; a part that only one has fades by its weight."""
        schedules = [_mixed(a, b, share) if a and b else a or b for a, b in zip(self.schedules, other.schedules)]
        return _Parts(schedules, [a + (b - a) * share for a, b in zip(self.weights, other.weights)])

    def composed(self) -> list:
        """As the host holds it. What has weight 0 and says nothing says what the first part says."""
        return [
            prompt_parser.ComposableScheduledPromptConditioning(schedule or self.schedules[0], weight)
            for schedule, weight in zip(self.schedules, self.weights)
        ]


def _mixed(first: list, second: list, share: float) -> list:
    """Two schedules (encodings that hold up to a step) as one, mixed wherever one of them changes."""
    ends = sorted({entry.end_at_step for entry in (*first, *second)})
    return [
        prompt_parser.ScheduledPromptConditioning(end, torch.lerp(_at(first, end), _at(second, end), share))
        for end in ends
    ]


def _at(schedule: list, step: int) -> Tensor:
    """[tokens, D]; after the last step the host goes back to the first encoding."""
    return next((entry.cond for entry in schedule if step <= entry.end_at_step), schedule[0].cond)


def _tokens(schedules: Any) -> int:
    return max(len(entry.cond) for schedule in schedules for entry in schedule)


def _filled(schedule: list, tokens: int) -> list:
    """Encodings of as many tokens as the longest text has: filled up with chunks of an empty prompt, as the host fills
    the shorter one of prompt and negative prompt."""
    if all(len(entry.cond) == tokens for entry in schedule):
        return schedule
    return [prompt_parser.ScheduledPromptConditioning(entry.end_at_step, _longer(entry.cond, tokens))
            for entry in schedule]  # fmt: skip


def _longer(cond: Tensor, tokens: int) -> Tensor:
    empty = shared.sd_model.cond_stage_model_empty_prompt.reshape(-1, cond.shape[-1]).to(cond)
    return torch.cat([cond, empty.repeat((tokens - len(cond)) // len(empty), 1)])


# ---- what the host typed for us


def keep_styles_around(p: Any) -> None:
    """The host puts a style behind the whole prompt, where it would belong to the last text alone: puts it around every
    text instead, in the prompts that the infotext shows."""
    if not getattr(p, "styles", None):
        return
    styles = shared.prompt_styles
    for name, texts, apply in (
        ("prompt", p.all_prompts, styles.apply_styles_to_prompt),
        ("negative_prompt", p.all_negative_prompts, styles.apply_negative_styles_to_prompt),
        ("hr_prompt", getattr(p, "all_hr_prompts", None), styles.apply_styles_to_prompt),
        ("hr_negative_prompt", getattr(p, "all_hr_negative_prompts", None), styles.apply_negative_styles_to_prompt),
    ):
        typed = getattr(p, name, None)
        if not isinstance(typed, str) or not texts or _is_ordinary(typed):
            continue
        before, mark, after = apply("\0", p.styles).partition("\0")
        if mark and "\0" not in after:
            styled, put = apply(typed, p.styles), put_around(typed, before, after)
            texts[:] = [put if text == styled else text for text in texts]
            if name in ("prompt", "negative_prompt"):
                setattr(p, f"main_{name}", texts[0])


def _is_ordinary(prompt: str) -> bool:
    return parse_travel(prompt, 10_000) is None
