"""Slides: all frames of a long clip are sampled together, and every step's prediction is made window by window.

Windows overlap; where they do, their predictions are averaged, each with the more weight the nearer the frame is to the
middle of the window (as FreeNoise and ComfyUI-AnimateDiff-Evolved fuse windows). A prediction of noise at a given
latent is linear in the denoised latent, so that this is the average of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lib_pia.injection import inject
from lib_pia.lending import lent
from lib_pia.model import PIAModel
from lib_pia.windows import pyramid


@contextmanager
def sliding(
    sd_model: Any,
    model: PIAModel,
    condition: Tensor,
    spans: Sequence[Sequence[int]],
    on_span: Callable[[Sequence[int]], None],
) -> Iterator[None]:
    """Inside the block the host's model predicts clips of `condition` [F, 5, H, W] window by window.

    spans: the frames of each window, all of one length. on_span: called with them before each is predicted. Rows of a
    call are B*F, frame fastest; memory is that of one window.
    """
    frames = len(condition)
    windows = [torch.tensor(span, device=condition.device) for span in spans]
    weights = pyramid(len(spans[0])).to(condition.device)
    whole = sd_model.apply_model

    with inject(sd_model.model.diffusion_model, model, condition[windows[0]]) as show:

        def apply_model(x: Tensor, t: Tensor, cond: Any, *args: Any, **kwargs: Any) -> Tensor:
            groups = len(x) // frames
            out, total = torch.zeros_like(x), x.new_zeros(len(x))
            for window, span in zip(windows, spans):
                on_span(span)
                rows = torch.cat([window + group * frames for group in range(groups)])
                show(condition[window])
                made = whole(x[rows], t[rows], _rows(cond, rows, len(x)), *args, **kwargs)
                share = weights.repeat(groups).to(made)
                out.index_add_(0, rows, (made * share[:, None, None, None]).to(out))
                total.index_add_(0, rows, share.to(total))
            return out / total[:, None, None, None]

        with lent(sd_model, apply_model=apply_model):
            yield


def _rows(cond: Any, rows: Tensor, count: int) -> Any:
    """The rows of every tensor in the host's conditioning that has one row per latent."""
    if isinstance(cond, dict):
        return {name: _rows(value, rows, count) for name, value in cond.items()}
    if isinstance(cond, list):
        return [_rows(value, rows, count) for value in cond]
    return cond[rows] if isinstance(cond, Tensor) and len(cond) == count else cond
