"""Fewer whole UNet calls: deep features change little from one step to the next, and are kept (DeepCache, arXiv
2312.00858, section 3.2), with what the motion modules in them say.

On a whole call the UNet runs as always, and the output of its last deep block is kept. On the calls between, only the
outer blocks run: the deep blocks' `forward` is lent one that computes nothing, and the last of them answers what was
kept. So whoever calls the blocks, LDM's own forward or that of another extension (ControlNet), calls them as ever.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .errors import HostError
from .lending import lent

OUTER = 2  # own choice, measured (`python dev.py bench fast`): blocks at each end of the UNet that run on every call


@dataclasses.dataclass(frozen=True)
class _Kept:
    """One part's output of the last deep block, [F, C, H, W], and the step that it was computed in."""

    output: Tensor
    step: int
    noise: float


class DeepFeatures:
    """What the deep blocks made of every part of a step: cond, uncond, parts of AND, each for every window.

    interval: every how many steps a part is computed whole, 2 or more. num_frames: F, rows of a part. place: what the
    next calls are for, where a step is computed in several places (the windows of a slide).
    """

    def __init__(self, interval: int, num_frames: int) -> None:
        self.interval, self.num_frames = interval, num_frames
        self.place: Hashable = None
        self._kept: dict[tuple[Hashable, int], _Kept] = {}
        self._step, self._noise = -1, float("inf")
        self._parts: Counter[Hashable] = Counter()  # of this step, by place
        self._called: list[tuple[Hashable, int]] = []  # the parts of the running call
        self._reuses = False  # whether it is one between
        self._passes = 0  # through the blocks, of the running call
        self._input: torch.Size | None = None  # of the first deep block, without rows
        self._outputs: dict[int, torch.Size] = {}  # of every deep block, without rows

    def begin_step(self, noise: float) -> None:
        """The next calls have the rows of one step: part by part in the same order as in every step, in one call or in
        several; the last parts may be left out. noise: its level, in any measure that grows with it."""
        self._step, self._noise = self._step + 1, noise
        self._parts.clear()

    def _is_fresh(self, part: tuple[Hashable, int]) -> bool:
        """Not where the noise has risen since (Restart): what was kept then belongs to later in the sampling."""
        kept = self._kept.get(part)
        return kept is not None and self._step - kept.step < self.interval and self._noise <= kept.noise

    # ---- one call of the UNet

    def begin_call(self, unet: nn.Module, args: tuple) -> None:
        """Forward pre-hook of the UNet."""
        self._passes = 0

    def _begin_pass(self, h: Tensor) -> None:
        """h: [B*F, C, H, W], the first deep block's input."""
        self._passes += 1
        if self._passes > 1:
            raise HostError(
                "Another extension runs the UNet several times per step (ControlNet's reference units do), and PIA "
                "setting fast cannot tell the runs apart; leave one of them out."
            )
        if self._input != h.shape[1:]:  # another size, as in a hires pass
            self._kept.clear()
            self._input = h.shape[1:]
        first = self._parts[self.place]
        self._parts[self.place] += len(h) // self.num_frames
        self._called = [(self.place, part) for part in range(first, self._parts[self.place])]
        self._reuses = all(map(self._is_fresh, self._called))

    def _keep(self, output: Tensor) -> None:
        """A copy: other extensions (FreeU) write into what a block gives."""
        for part, rows in zip(self._called, output.detach().clone().split(self.num_frames)):
            self._kept[part] = _Kept(rows, self._step, self._noise)

    def forward_of(self, block: nn.Module, number: int, last: bool) -> Callable[..., Tensor]:
        """What stands in for the `forward` of deep block `number`, counted from 0 in the order of running."""
        own = block.forward

        def forward(h: Tensor, *args: object, **kwargs: object) -> Tensor:
            if number == 0:
                self._begin_pass(h)
            if self._reuses and last:
                return torch.cat([self._kept[part].output for part in self._called])
            if self._reuses:
                return h.new_zeros(len(h), *self._outputs[number])
            output = own(h, *args, **kwargs)
            self._outputs[number] = output.shape[1:]
            if last:
                self._keep(output)
            return output

        return forward


def deep_blocks(unet: nn.Module, outer: int = OUTER) -> list[nn.Module]:
    """The blocks of an LDM-layout UNet but for the `outer` first and last ones, in the order of running."""
    return [*list(unet.input_blocks)[outer:], unet.middle_block, *list(unet.output_blocks)[:-outer]]


@contextmanager
def keep_deep_features(
    unet: nn.Module, interval: int, num_frames: int, outer: int = OUTER
) -> Iterator[DeepFeatures]:
    """Inside the block `unet` computes its deep blocks every `interval` steps; afterwards it is what it was.

    The caller says where steps begin: `begin_step` of what is yielded. Without it every call is whole. Together with
    `inject`, in any order.

    Args:
        unet: an LDM-layout UNet (`find_sites` accepts it).
        interval: 2 or more.
        num_frames: F; rows of a call are B*F.
        outer: blocks at each end that run on every call, 1 or more.
    Raises:
        Inside the block, HostError from `unet(...)` where another extension runs the blocks more than once in it.
    """
    features = DeepFeatures(interval, num_frames)
    blocks = deep_blocks(unet, outer)
    with ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(features.begin_call).remove)
        for number, block in enumerate(blocks):
            forward = features.forward_of(block, number, number == len(blocks) - 1)
            stack.enter_context(lent(block, forward=forward))
        yield features
