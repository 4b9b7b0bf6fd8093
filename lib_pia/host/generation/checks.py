"""What must be true of the host's state before a clip is sampled; each refusal is one sentence."""

from __future__ import annotations

from typing import Any

from modules import sd_unet

from lib_pia.errors import SettingsError, UnsupportedModelError
from lib_pia.injection import find_sites

OTHER_KINDS = {"is_sdxl": "SDXL", "is_ssd": "SSD-1B", "is_sd2": "Stable Diffusion 2", "is_sd3": "Stable Diffusion 3"}


def other_kind(model: Any) -> str | None:
    """Says that a checkpoint is of another family than SD1.5; None where it is not known to be."""
    kind = next((kind for flag, kind in OTHER_KINDS.items() if getattr(model, flag, False)), None)
    if kind is None:
        return None
    return (
        f"The checkpoint {model.sd_checkpoint_info.name_for_extra} is {kind}; PIA animates Stable Diffusion 1.5 "
        "checkpoints only, select one."
    )


def check_checkpoint(p: Any) -> None:
    """Refuses checkpoints that are not SD1.5, and switches to another one in the middle. Raises
    UnsupportedModelError."""
    model = p.sd_model
    name = model.sd_checkpoint_info.name_for_extra
    if sentence := other_kind(model):
        raise UnsupportedModelError(sentence)
    if getattr(model, "cond_stage_key", None) == "edit":
        raise UnsupportedModelError(
            f"The checkpoint {name} is an InstructPix2Pix model; PIA animates ordinary Stable Diffusion 1.5 "
            "checkpoints and inpainting ones, select one."
        )
    find_sites(model.model.diffusion_model)
    _check_switches(p, model.sd_checkpoint_info)


def check_unet() -> None:
    """Refuses a replacement for the UNet. The host chooses it after `p.init`, so it is known only when the sampling
    starts."""
    if sd_unet.current_unet is not None:
        raise UnsupportedModelError(
            "A replacement for the UNet (TensorRT or the like) is active, and PIA cannot work inside it; set "
            "Settings > Stable Diffusion > SD Unet to None."
        )


def _check_switches(p: Any, current: Any) -> None:
    refiner = getattr(p, "refiner_checkpoint_info", None)
    if refiner is not None and refiner.filename != current.filename:  # a refreshed list has new entries for old files
        raise UnsupportedModelError(
            "A refiner would switch the checkpoint in the middle of the clip, which PIA does not follow; switch "
            "the refiner off."
        )
    hires = getattr(p, "hr_checkpoint_info", None)
    if getattr(p, "enable_hr", False) and hires is not None and hires.filename != current.filename:
        raise UnsupportedModelError(
            'Hires. fix would switch to another checkpoint before the clip is made; set its checkpoint to "Use '
            'same checkpoint".'
        )


def check_pictures(init_images: Any, clips_per_batch: int) -> None:
    """Refuses img2img without a picture, and more pictures than clips. Raises SettingsError."""
    pictures = init_images or []
    if not pictures or any(picture is None for picture in pictures):
        raise SettingsError("PIA has no picture to animate; drop one on the img2img tab, or give init_images.")
    if len(pictures) > clips_per_batch > 0 and len(pictures) > 1:
        raise SettingsError(
            f"PIA was given {len(pictures)} pictures for a batch of {clips_per_batch} clips; raise the batch size to "
            f"{len(pictures)}, one clip per picture."
        )
