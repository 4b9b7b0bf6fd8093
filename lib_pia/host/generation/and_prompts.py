"""Prompts joined by AND: the host puts the parts of one frame next to each other, PIA needs the frames of one part next
to each other.

The WebUI's denoiser builds rows as frame 0 part 0, frame 0 part 1, frame 1 part 0, ..., then one negative row per
frame, and cuts them into calls of F or 2F rows. Two of its callbacks let us sort the rows before the calls and sort the
results back, so every call holds whole clips and the host's own weighting stays as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

_MARK = "pia_part_order"  # on the denoiser of our own sampler, between the two callbacks of one step


@dataclasses.dataclass(frozen=True)
class PartOrder:
    """Rows sorted part-major: `order[k]` is the host's row that stands at k."""

    order: Tensor
    rows: Tensor  # x as handed to the denoiser, part-major; sorted back in place for the host's preview
    parts: int


def sort_by_part(params: Any, num_frames: int) -> None:
    """`on_cfg_denoiser`: brings the rows of an AND prompt into part-major order. Ordinary prompts are left alone."""
    rows = len(params.text_cond)
    parts = rows // num_frames
    if parts <= 1 or rows % num_frames:
        return
    order = torch.arange(rows, device=params.x.device).view(num_frames, parts).T.flatten()
    every = torch.cat([order, torch.arange(rows, len(params.x), device=order.device)])
    params.x, params.sigma, params.image_cond = params.x[every], params.sigma[every], params.image_cond[every]
    params.text_cond = params.text_cond[order.to(params.text_cond.device)]
    setattr(params.denoiser.inner_model, _MARK, PartOrder(order, params.x, parts))


def sort_by_frame(params: Any) -> None:
    """`on_cfg_denoised`: brings the results back into the host's order, in place."""
    mark: PartOrder | None = vars(params.inner_model).pop(_MARK, None)
    if mark is None:
        return
    count = len(mark.order)
    frames = count // mark.parts
    back = torch.argsort(mark.order)
    first = torch.arange(frames, device=back.device) * mark.parts
    # Where the host skips the negative prompt (NGMS, skip early CFG), its last F rows are copies of what it takes for
    # each frame's first part.
    copies = torch.equal(params.x[count:], params.x[first])
    params.x[:count] = params.x[:count][back]
    mark.rows[:count] = mark.rows[:count][back]
    if copies:
        params.x[count:] = params.x[first]
