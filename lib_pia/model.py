"""The PIA model: condition module and 20 motion modules, under the official file's names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .condition import ConditionModule
from .motion_module import HEADS, MAX_FRAMES, MotionModule

SD15_CHANNELS = (320, 640, 1280, 1280)  # model_channels 320 times channel_mult 1 2 4 4 (SD1.5's v1-inference.yaml)
DOWN_PER_LEVEL, UP_PER_LEVEL = 2, 3  # layers per UNet level: one motion module after each (AnimateDiff unet_blocks.py)
LATENT_CHANNELS = 4


class _Level(nn.Module):
    """The motion modules of one UNet level; exists for the file's key names (`down_blocks.I.motion_modules.J`)."""

    def __init__(self, dim: int, count: int, max_frames: int, heads: int) -> None:
        super().__init__()
        self.motion_modules = nn.ModuleList(MotionModule(dim, max_frames, heads) for _ in range(count))


class PIAModel(nn.Module):
    """Condition module and motion modules. `state_dict` keys are the official PIA names; `conv_in.weight` is [C, 5, 3,
    3].

    Args:
        channels: width of each UNet level, outermost first.
        max_frames: length of the position encoding.
        heads: attention heads of the motion modules.
    """

    def __init__(
        self, channels: Sequence[int] = SD15_CHANNELS, max_frames: int = MAX_FRAMES, heads: int = HEADS
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.max_frames = max_frames
        self.conv_in = ConditionModule(self.channels[0])
        self.down_blocks = nn.ModuleList(_Level(dim, DOWN_PER_LEVEL, max_frames, heads) for dim in self.channels)
        self.up_blocks = nn.ModuleList(_Level(dim, UP_PER_LEVEL, max_frames, heads) for dim in reversed(self.channels))

    @property
    def condition(self) -> ConditionModule:
        return self.conv_in

    @property
    def down(self) -> list[MotionModule]:
        """The motion modules of the down path, in the order the UNet runs them."""
        return [module for level in self.down_blocks for module in level.motion_modules]

    @property
    def up(self) -> list[MotionModule]:
        """The motion modules of the up path, in the order the UNet runs them."""
        return [module for level in self.up_blocks for module in level.motion_modules]


def official_state_dict(model: PIAModel) -> dict[str, Tensor]:
    """`model`'s tensors as a PIA file holds them: `conv_in.weight` has 9 input channels, the first 4 (which PIA
    ignores) zero."""
    tensors = dict(model.state_dict())
    weight = tensors["conv_in.weight"]
    tensors["conv_in.weight"] = torch.cat([weight.new_zeros(weight.shape[0], LATENT_CHANNELS, 3, 3), weight], dim=1)
    return tensors
