"""What the host's conditioning says to every frame of a clip whose prompt travels.

The host encodes the text of each key frame in that frame's row. In between, a row gets the encodings of the two key
frames around it, mixed per token; prompt editing and AND keep working, because every step's encoding is mixed by
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from modules import prompt_parser, shared
from torch import Tensor

from lib_pia.errors import SettingsError
from lib_pia.travel import Travel


def rows_of(conditioning: Any, frames: Sequence[int]) -> Any:
    """The conditioning of some rows, cut from that for all; the host's shared objects are not changed."""
    if conditioning is None:
        return None
    if hasattr(conditioning, "batch"):
        batch = [conditioning.batch[row] for row in frames]
        return prompt_parser.MulticondLearnedConditioning(shape=(len(batch),), batch=batch)
    if isinstance(conditioning, Tensor):
        return conditioning[list(frames)] if len(frames) < len(conditioning) else conditioning
    return [conditioning[row] for row in frames]


def travelled(cond: Any, travel: Travel, frames: range, known: int) -> Any:
    """The positive conditioning of the rows `frames`, cut from the host's for all rows. Raises SettingsError.

    known: rows in front of the clip's frame 0, which say what it says.
    """
    batch = [_between(cond.batch, travel, max(row - known, 0), known) for row in frames]
    return prompt_parser.MulticondLearnedConditioning(shape=(len(batch),), batch=batch)


def _between(batch: list, travel: Travel, frame: int, known: int) -> list:
    before, after, share = travel.between(frame)
    first = batch[travel.frames[before] + known]
    if before == after or share == 0:
        return first
    second = batch[travel.frames[after] + known]
    if len(first) != len(second):
        raise SettingsError(
            f"The texts of frames {travel.frames[before]} and {travel.frames[after]} have {len(first)} and "
            f"{len(second)} parts joined by AND; give all texts of a prompt the same number."
        )
    return [
        prompt_parser.ComposableScheduledPromptConditioning(
            _mixed(a.schedules, b.schedules, share), a.weight + (b.weight - a.weight) * share
        )
        for a, b in zip(first, second)
    ]


def _mixed(first: list, second: list, share: float) -> list:
    """Two schedules (encodings that hold up to a step) as one, mixed wherever one of them changes."""
    ends = sorted({part.end_at_step for part in (*first, *second)})
    return [
        prompt_parser.ScheduledPromptConditioning(end, _lerp(_at(first, end), _at(second, end), share)) for end in ends
    ]


def _at(schedule: list, step: int) -> Tensor:
    return next((part.cond for part in schedule if part.end_at_step >= step), schedule[-1].cond)


def _lerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Encodings [tokens, D] mixed per token; the shorter is filled up with empty chunks, as the host does it."""
    empty = shared.sd_model.cond_stage_model_empty_prompt
    first, second = (_filled(cond, max(len(first), len(second)), empty) for cond in (first, second))
    return torch.lerp(first, second, share)


def _filled(cond: Tensor, tokens: int, empty: Tensor) -> Tensor:
    chunk = empty.reshape(-1, cond.shape[-1]).to(cond)
    missing = (tokens - len(cond)) // len(chunk)
    return torch.cat([cond, *[chunk] * missing]) if missing > 0 else cond
