"""The condition of PIA: what the clip's frames are told about the condition image (paper section 3.2, "Condition
module")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import SettingsError

FADE = 4  # own choice: frames over which one picture's condition becomes the next one's
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
        image_latent: z^I [1, 4, H, W] (or [4, H, W]), or one per frame [F, 4, H, W]: VAE posterior latents times
            0.18215.
        affinity: inter-frame affinity in [0, 1], [F], or per pixel [F, 1, H, W].
    Raises:
        SettingsError: a shape does not fit.
    """
    if image_latent.dim() == 3:
        image_latent = image_latent[None]
    if image_latent.dim() != 4 or image_latent.shape[1] != 4:
        raise SettingsError(f"The condition latent has shape {list(image_latent.shape)}; it must be [1, 4, H, W].")
    height, width = image_latent.shape[2:]
    affinity = torch.as_tensor(affinity).to(image_latent)
    if affinity.dim() == 1:
        affinity = affinity[:, None, None, None].expand(-1, 1, height, width)
    if affinity.dim() != 4 or affinity.shape[1:] != (1, height, width) or affinity.shape[0] < 1:
        raise SettingsError(
            f"The affinity has shape {list(affinity.shape)}; it must be [F] or [F, 1, {height}, {width}]."
        )
    if len(image_latent) not in (1, len(affinity)):
        raise SettingsError(
            f"There are {len(image_latent)} condition latents for {len(affinity)} frames; give one, or one per frame."
        )
    return torch.cat([affinity, image_latent.expand(len(affinity), -1, -1, -1)], dim=1)


def fade_pictures(places: Sequence[int], latents: Sequence[Tensor], num_frames: int) -> Tensor:
    """One condition latent per frame [num_frames, 4, H, W]: each frame's is that of the nearest picture, faded into the
    next one over `FADE` frames around the middle between two, or between the two themselves where they are nearer.

    places: the frames that are pictures, in ascending order. latents: each [1, 4, H, W].
    """
    frames = torch.arange(num_frames, dtype=torch.float32, device=latents[0].device)[:, None, None, None]
    out = latents[0].expand(num_frames, -1, -1, -1)
    for before, after, latent in zip(places, places[1:], latents[1:]):
        share = ((frames - (before + after) / 2) / min(FADE, after - before) + 0.5).clamp(0, 1)
        out = torch.lerp(out, latent, share.to(latent))
    return out


def brush_affinity(affinity: Tensor, brush: Tensor) -> Tensor:
    """The affinity [F] where `brush` [1, 1, H, W] is 1, and 1 (stays like the picture) where it is 0: [F, 1, H, W].

    Training saw affinities that are constant over the pixels; this one is not, and works nearly as well.
    """
    return 1 - (1 - affinity.to(brush)[:, None, None, None]) * brush
