"""The condition of PIA: what the clip's frames are told about the condition image (paper section 3.2, "Condition
module")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .errors import SettingsError

CHANNELS = 5  # 1 affinity + 4 latent channels (PIA animatediff/models/unet.py: conv_in takes 4 + 1 + 4)


class ConditionModule(nn.Module):
    """Convolution 3x3 without bias from [affinity, z^I] to the width of the UNet's first layer; starts at zero (paper
    section 3.3).

    It is `conv_in.weight[:, 4:]` of a PIA file. Input [N, 5, H, W], output [N, C, H, W], to be added to what the UNet's
    own conv_in gives.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, CHANNELS, 3, 3))

    def forward(self, condition: Tensor) -> Tensor:
        return nn.functional.conv2d(condition.to(self.weight.dtype), self.weight, padding=1)


def build_condition(image_latent: Tensor, affinity: Tensor) -> Tensor:
    """The condition of one clip: [F, 5, H, W], channel 0 the affinity, channels 1..4 the condition latent z^I.

    Args:
        image_latent: z^I [1, 4, H, W] (or [4, H, W]), VAE posterior latent times 0.18215.
        affinity: inter-frame affinity in [0, 1], [F], or per pixel [F, 1, H, W].
    Raises:
        SettingsError: a shape does not fit.
    """
    if image_latent.dim() == 3:
        image_latent = image_latent[None]
    if image_latent.dim() != 4 or image_latent.shape[:2] != (1, 4):
        raise SettingsError(f"The condition latent has shape {list(image_latent.shape)}; it must be [1, 4, H, W].")
    height, width = image_latent.shape[2:]
    affinity = torch.as_tensor(affinity).to(image_latent)
    if affinity.dim() == 1:
        affinity = affinity[:, None, None, None].expand(-1, 1, height, width)
    if affinity.dim() != 4 or affinity.shape[1:] != (1, height, width) or affinity.shape[0] < 1:
        raise SettingsError(
            f"The affinity has shape {list(affinity.shape)}; it must be [F] or [F, 1, {height}, {width}]."
        )
    return torch.cat([affinity, image_latent.expand(affinity.shape[0], -1, -1, -1)], dim=1)
