"""The host's upscalers, those that Extras shows."""

from __future__ import annotations

from typing import Any

from modules import shared
from PIL import Image

from lib_pia.errors import HostError, SettingsError

SHOWN = 12  # names in a sentence


def names() -> list[str]:
    """In the host's order."""
    return [upscaler.name for upscaler in shared.sd_upscalers]


def find(name: str) -> Any:
    """The upscaler called `name`. Raises SettingsError."""
    for upscaler in shared.sd_upscalers:
        if upscaler.name == name:
            return upscaler
    known = names()
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    raise SettingsError(f"The upscaler {name} is not there; there are: {', '.join(known[:SHOWN])}{more}.")


def enlarge(picture: Image.Image, upscaler: Any, scale: float) -> Image.Image:
    """`picture` at `scale` times its size, RGB; the host rounds sides down to multiples of 8. Raises HostError."""
    try:
        return upscaler.scaler.upscale(picture, scale, upscaler.data_path).convert("RGB")
    except Exception as error:  # of any extension's upscaler, or of the device
        told = str(error).split("\n")[0].rstrip(".") or type(error).__name__
        raise HostError(
            f"The clip was not enlarged: {upscaler.name} failed ({told}); choose another upscaler or a smaller scale."
        ) from error
