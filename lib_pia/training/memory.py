"""Gradient checkpointing: activations of the layers are computed again in backward instead of being kept."""
from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn
from torch.utils.checkpoint import checkpoint

from lib_pia.model import PIAModel


@contextmanager
def recompute_in_backward(unet: nn.Module, model: PIAModel) -> Iterator[None]:
    """Inside the block every layer of the UNet's blocks and every motion module keeps only its input. Enter it outside `inject`, and
    run backward inside: the layers run again there, and their norms must still see whole clips."""
    layers = [layer for blocks in (unet.input_blocks, [unet.middle_block], unet.output_blocks) for block in blocks for layer in block]
    with ExitStack() as stack:
        for layer in (*layers, *model.down, *model.up):
            stack.callback(_restore, layer, vars(layer).get("forward"))
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        yield


def _restore(layer: nn.Module, own_forward: object | None) -> None:
    """The layer's forward is again its class's, or what somebody had set on the instance."""
    if own_forward is None:
        del layer.forward
    else:
        layer.forward = own_forward
