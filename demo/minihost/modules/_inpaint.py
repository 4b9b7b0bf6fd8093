"""Masks, rectangles around them, and what is laid over a finished picture: PIL's; a mask is mode L, white = new."""

import numpy as np
from modules import images
from PIL import Image, ImageFilter, ImageOps, ImageStat
from scipy.ndimage import gaussian_filter1d

FILL_RADII = (256, 64, 16, 16, 4, 4, 4, 4, 2, 2, 0)  # pixels of blur, coarse to fine


def create_binary_mask(image, round=True):
    """The alpha channel if it says anything, else the brightness."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        alpha = image.getchannel("A")
        return alpha.point([255 * (value > 128) for value in range(256)]) if round else alpha
    return image.convert("L")


def blurred(mask, sigma_x, sigma_y):
    """Gaussian, 2.5 standard deviations to each side, along the width and then along the height; rounded in between."""
    values = np.asarray(mask)
    for axis, sigma in ((1, sigma_x), (0, sigma_y)):
        if sigma > 0:
            smooth = gaussian_filter1d(values.astype(float), sigma, axis=axis, truncate=2.5, mode="mirror")
            values = smooth.round().astype(np.uint8)
    return Image.fromarray(values)


def region_of(mask, padding, ratio):
    """(left, top, right, bottom) around what is not black with `padding`, made longer in one direction to width /
    height = `ratio`; None for a black mask."""
    box = mask.getbbox()
    if box is None:
        return None
    (left, right), (top, bottom) = (
        (max(box[side] - padding, 0), min(box[side + 2] + padding, mask.size[side])) for side in (0, 1)
    )
    if (right - left) > ratio * (bottom - top):
        top, bottom = _longer(top, bottom, int((right - left) / ratio), mask.height)
    else:
        left, right = _longer(left, right, int((bottom - top) * ratio), mask.width)
    return left, top, right, bottom


def _longer(low, high, wanted, limit):
    """low..high stretched to `wanted` around its middle, moved and cut to lie in 0..limit."""
    more = max(wanted - high + low, 0)
    low, high = low - more // 2, high + (more + 1) // 2
    back = max(high - limit, 0)
    low, high = low - back, high - back
    return max(low, 0), min(high + max(-low, 0), limit)


def overlay_of(image, mask, mode="RGBA"):
    """`image`, transparent where the mask is white."""
    shown = Image.new("RGBa", image.size)
    shown.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    return shown.convert(mode) if mode != "RGBa" else shown


def fill(image, mask):
    """`image` with blurred colours of the rest where the mask is white: RGB."""
    rest, result = overlay_of(image, mask, "RGBa"), Image.new("RGBA", image.size)
    for radius in FILL_RADII:
        result.alpha_composite(rest.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA"))
    return result.convert("RGB")


def apply_overlay(image, paste_loc, overlay):
    """(`image` at its place (x, y, width, height) under the overlay, the same without the overlay)."""
    if overlay is None:
        return image, image.copy()
    if paste_loc is not None:
        part, image = images.resize_image(1, image, *paste_loc[2:]), Image.new("RGBA", overlay.size)
        image.paste(part, paste_loc[:2])
    both = image.convert("RGBA")
    both.alpha_composite(overlay)
    return both.convert("RGB"), image.copy()


def setup_color_correction(image):
    """What `apply_color_correction` needs of the picture that has the wanted colours."""
    return ImageStat.Stat(image.convert("YCbCr")).mean


def apply_color_correction(correction, original_image):
    """`original_image` with the wanted mean of each chroma channel (the WebUI matches histograms in Lab)."""
    off = np.subtract(correction, setup_color_correction(original_image)) * (0, 1, 1)
    values = np.asarray(original_image.convert("YCbCr")) + off.round()
    return Image.fromarray(values.clip(0, 255).astype(np.uint8), "YCbCr").convert("RGB")
