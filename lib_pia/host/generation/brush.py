"""The inpaint mask as a motion brush: only what is masked moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from lib_pia.errors import SettingsError
from lib_pia.lending import lent
from lib_pia.settings import PIASettings

from .pictures import ConditionPicture

LATENT_SCALE = 8  # pixels per latent cell (the host's processing.opt_f)
SOFT = 2  # own choice: latent cells over which "both" goes from what is kept to what is made
ORIGINAL = 1  # the host's inpainting_fill "original": the picture under the mask stays what it is


def check_mask(p: Any, settings: PIASettings) -> None:
    """Refuses a brush without a mask, and a second pass that would not fit what the mask keeps. Raises
    SettingsError."""
    if settings.hires_scale > 1 and settings.mask_means != "motion" and getattr(p, "image_mask", None) is not None:
        raise SettingsError(
            "hires_scale cannot enlarge a clip whose mask keeps a part of the picture at its own size; use upscale "
            'instead, or set mask_means to "motion".'
        )
    if settings.mask_means != "keep" and getattr(p, "image_mask", None) is None:
        raise SettingsError(
            f'PIA setting mask_means is "{settings.mask_means}", but there is no mask; draw one on img2img\'s inpaint '
            "tab, or give mask in the request."
        )


@contextmanager
def ready_for_brush(p: Any, settings: PIASettings) -> Iterator[None]:
    """While `p.init` runs: the picture stays whole under a brush, and a brush alone crops nothing."""
    if settings.mask_means == "keep":
        yield
        return
    whole = {"inpaint_full_res": False} if settings.mask_means == "motion" else {}
    with lent(p, inpainting_fill=ORIGINAL, **whole):
        yield


def with_brush(p: Any, settings: PIASettings, picture: ConditionPicture) -> ConditionPicture:
    """`picture` with its brush; what the mask keeps is as `mask_means` says."""
    if settings.mask_means == "keep":
        return picture
    host = dict(picture.host)
    brush = brush_of(host["mask_for_overlay"], host["paste_to"], (p.width, p.height)).to(picture.latent)
    if settings.mask_means == "motion":
        host |= {"mask": None, "nmask": None, "mask_for_overlay": None, "overlay_images": None, "paste_to": None}
    else:
        nmask = host["nmask"]
        padded = functional.pad(nmask[None], [SOFT] * 4, mode="replicate")
        soft = functional.avg_pool2d(padded, 2 * SOFT + 1, stride=1)[0]
        host |= {"nmask": soft, "mask": 1.0 - soft}
    return dataclasses.replace(picture, host=host, brush=brush)


def brush_of(mask: Image.Image, paste_to: tuple[int, int, int, int] | None, size: tuple[int, int]) -> Tensor:
    """The host's blurred mask (white moves) as [1, 1, H, W] in 0..1: cropped as the host crops (left, top, width,
    height), at `size` (width, height), averaged over latent cells."""
    gray = mask.convert("L")
    if paste_to is not None:
        left, top, width, height = paste_to
        gray = gray.crop((left, top, left + width, top + height))
    values = torch.from_numpy(np.array(gray.resize(size, Image.BILINEAR))).float() / 255
    return functional.avg_pool2d(values[None, None], LATENT_SCALE)
