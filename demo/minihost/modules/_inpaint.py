"""Masks, rectangles around them, and what is laid over a finished picture. Pictures are PIL's; a mask is mode L, white = new."""
from __future__ import annotations

import numpy as np
from modules import images
from PIL import Image, ImageFilter, ImageOps

FILL_RADII = (256, 64, 16, 16, 4, 4, 4, 4, 2, 2, 0)         # pixels of blur, coarse to fine


def create_binary_mask(image, round=True):
    """The alpha channel if it says anything, else the brightness."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        alpha = image.getchannel("A")
        return Image.fromarray(np.where(np.asarray(alpha) > 128, 255, 0).astype(np.uint8)) if round else alpha
    return image.convert("L")


def blurred(mask: Image.Image, sigma_x: float, sigma_y: float) -> Image.Image:
    """Gaussian, 2.5 standard deviations to each side, along the width and then along the height; rounded in between."""
    values = np.asarray(mask)
    for axis, sigma in ((1, sigma_x), (0, sigma_y)):
        if sigma > 0:
            reach = int(2.5 * sigma + 0.5)
            bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma ** 2))
            border = [(0, 0), (0, 0)]
            border[axis] = (reach, reach)
            wide = np.pad(values.astype(float), border, mode="reflect" if values.shape[axis] > reach else "edge")
            smooth = np.apply_along_axis(np.convolve, axis, wide, bell / bell.sum(), mode="valid")
            values = smooth.round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(values)


def region_of(mask: Image.Image, padding: int, ratio: float) -> tuple[int, int, int, int] | None:
    """The rectangle around what is not black with `padding`, made longer in one direction to width / height = `ratio`;
    None for a black mask."""
    box = mask.getbbox()
    if box is None:
        return None
    (left, right), (top, bottom) = (
        (max(low - padding, 0), min(high + padding, size)) for low, high, size in
        ((box[0], box[2], mask.width), (box[1], box[3], mask.height)))
    if (right - left) > ratio * (bottom - top):
        top, bottom = _longer(top, bottom, int((right - left) / ratio), mask.height)
    else:
        left, right = _longer(left, right, int((bottom - top) * ratio), mask.width)
    return left, top, right, bottom


def _longer(low: int, high: int, wanted: int, limit: int) -> tuple[int, int]:
    """low..high stretched to `wanted` around its middle, moved and cut to lie in 0..limit."""
    more = max(wanted - high + low, 0)
    low, high = low - more // 2, high + (more + 1) // 2
    back = max(high - limit, 0)
    low, high = low - back, high - back
    return max(low, 0), min(high + max(-low, 0), limit)


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """`image` with blurred colours of the rest where the mask is white: RGB."""
    rest = Image.new("RGBa", image.size)
    rest.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    result = Image.new("RGBA", image.size)
    for radius in FILL_RADII:
        result.alpha_composite(rest.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA"))
    return result.convert("RGB")


def overlay_of(image: Image.Image, mask: Image.Image) -> Image.Image:
    """`image`, transparent where the mask is white: RGBA."""
    shown = Image.new("RGBa", image.size)
    shown.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    return shown.convert("RGBA")


def apply_overlay(image, paste_loc, overlay):
    """(`image` at its place (x, y, width, height) under the overlay, the same without the overlay)."""
    if overlay is None:
        return image, image.copy()
    if paste_loc is not None:
        x, y, width, height = paste_loc
        part, image = images.resize_image(1, image, width, height), Image.new("RGBA", overlay.size)
        image.paste(part, (x, y))
    both = image.convert("RGBA")
    both.alpha_composite(overlay)
    return both.convert("RGB"), image.copy()


def setup_color_correction(image):
    """What `apply_color_correction` needs of the picture that has the wanted colours."""
    return [band.histogram() for band in image.convert("YCbCr").split()[1:]]


def apply_color_correction(correction, original_image):
    """`original_image` with the wanted distribution of each chroma channel (the WebUI works in Lab)."""
    luma, *chroma = original_image.convert("YCbCr").split()
    for place, (band, wanted) in enumerate(zip(chroma, correction)):
        have, want = np.cumsum(band.histogram()), np.cumsum(wanted)
        table = np.interp(have / have[-1], want / want[-1], np.arange(256))
        chroma[place] = band.point([int(value) for value in table.round()])
    return Image.merge("YCbCr", [luma, *chroma]).convert("RGB")
