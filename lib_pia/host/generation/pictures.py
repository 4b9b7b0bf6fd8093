"""The condition images of an img2img request: each distinct picture goes through the host's own `p.init` and the VAE
once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from modules import images, sd_samplers_common
from PIL import Image
from torch import Tensor

from lib_pia.errors import HostError
from lib_pia.lending import lent

LATENT_FILLS = (
    2,
    3,
)  # inpainting_fill "latent noise" and "latent nothing": p.init overwrites the encoded picture under the mask

# What the host's p.init computes per picture (StableDiffusionProcessingImg2Img.init), for one frame; lists and batches
# grow to F later.
PER_PICTURE = (
    "init_latent",
    "image_conditioning",
    "mask",
    "nmask",
    "mask_for_overlay",
    "overlay_images",
    "color_corrections",
    "paste_to",
    "init_img_hash",
)
BATCHED_TENSORS = ("init_latent", "image_conditioning")
PER_FRAME_LISTS = ("overlay_images", "color_corrections")


@dataclasses.dataclass(frozen=True)
class ConditionPicture:
    """One condition image, encoded."""

    image: Image.Image  # as the user gave it
    latent: Tensor  # z^I [1, 4, H, W], scaled by 0.18215, the posterior's mean
    host: dict[str, Any]  # PER_PICTURE attributes of `p` for one frame
    brush: Tensor | None = None  # [1, 1, H, W], 1 where it moves; None: everywhere

    def attributes(self, num_frames: int) -> dict[str, Any]:
        """The host's attributes for a batch of `num_frames` rows."""
        out = dict(self.host)
        for name in BATCHED_TENSORS:
            if isinstance(out[name], Tensor):
                out[name] = out[name].repeat(num_frames, *[1] * (out[name].dim() - 1))
        for name in PER_FRAME_LISTS:
            if out[name] is not None:
                out[name] = list(out[name]) * num_frames
        return out


@contextmanager
def posterior_mean(sd_model: Any) -> Iterator[list[Tensor]]:
    """Inside the block `sd_model.encode_first_stage` gives the posterior's mean instead of a distribution that the host
    would sample from the global random numbers; yields the list of what it gave."""
    encode = sd_model.encode_first_stage
    means: list[Tensor] = []

    def encode_to_mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        posterior = encode(x, *args, **kwargs)
        means.append(
            posterior.mode() if hasattr(posterior, "mode") and not isinstance(posterior, Tensor) else posterior
        )
        return means[-1]

    with lent(sd_model, encode_first_stage=encode_to_mean):
        yield means


def encode_pictures(p: Any, init: Callable[..., None], *args: Any) -> list[ConditionPicture]:
    """Runs the host's `init` (bound to `p`) with each distinct picture of `p.init_images` alone; `args` are its
    arguments.

    One picture for all clips gives one entry, else one entry per item of `init_images`, the same picture encoded once.
    """
    given = list(p.init_images)
    corrections = p.color_corrections
    encoded: dict[int, ConditionPicture] = {}
    for picture in given:
        if id(picture) not in encoded:
            with lent(p, batch_size=1, init_images=[picture]):
                p.color_corrections = list(corrections[:1]) if corrections is not None else None
                encoded[id(picture)] = _encode(p, init, picture, args)
    return [encoded[id(picture)] for picture in given] if len(encoded) > 1 else [next(iter(encoded.values()))]


def _encode(p: Any, init: Callable[..., None], picture: Image.Image, args: tuple) -> ConditionPicture:
    with posterior_mean(p.sd_model) as means:
        init(*args)
    host = {name: getattr(p, name, None) for name in PER_PICTURE}
    latent = p.init_latent
    if host["mask"] is not None and p.inpainting_fill in LATENT_FILLS and means:
        latent = p.sd_model.get_first_stage_encoding(means[0]).to(latent)
        if latent.shape != p.init_latent.shape:  # resize mode "latent upscale"
            latent = torch.nn.functional.interpolate(latent, size=p.init_latent.shape[2:], mode="bilinear")
    if latent.shape[:2] != (1, 4):
        raise HostError(
            f"The VAE encoded the picture to a latent of shape {list(latent.shape)}; PIA needs [1, 4, H, W]. "
            "Select an SD1.5 "
            "checkpoint and VAE."
        )
    return ConditionPicture(picture, latent.detach().clone(), host)


def latent_of(p: Any, picture: Image.Image, size: tuple[int, int]) -> Tensor:
    """A picture as the host fits it into frames of `size` (width, height), encoded: scaled latent [1, 4, H, W], the
    posterior's mean."""
    pixels = torch.from_numpy(np.array(as_shown(p, picture, size).convert("RGB"))).permute(2, 0, 1).float() / 255
    with posterior_mean(p.sd_model):
        return sd_samplers_common.images_tensor_to_samples(pixels[None], None, p.sd_model)


def as_shown(p: Any, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The condition image as the host fits it into frames of `size` (width, height): RGB."""
    flat = images.flatten(picture, _background())
    if flat.size == size:
        return flat
    mode = getattr(p, "resize_mode", 0)
    return images.resize_image(mode if mode in (0, 1, 2) else 0, flat, *size)


def _background() -> str:
    from modules.shared import opts

    return opts.img2img_background_color
