"""Rectangles around masks; filling of masked areas."""
import functools

from PIL import Image, ImageFilter, ImageOps


def _image(mask):
    return mask if isinstance(mask, Image.Image) else Image.fromarray(mask)


def get_crop_region_v2(mask, pad=0):
    """(x1, y1, x2, y2) around what is not black, `pad` pixels larger but inside the picture; None when all is black."""
    mask = _image(mask)
    box = mask.getbbox()
    if box is None:
        return None
    return max(box[0] - pad, 0), max(box[1] - pad, 0), min(box[2] + pad, mask.width), min(box[3] + pad, mask.height)


def get_crop_region(mask, pad=0):
    """As above; an all-black mask gives an empty rectangle."""
    mask = _image(mask)
    empty = max(mask.width - pad, 0), max(mask.height - pad, 0), min(pad, mask.width), min(pad, mask.height)
    return get_crop_region_v2(mask, pad) or empty


def _widen(low, high, wanted, limit):
    extra = max(int(wanted) - (high - low), 0)
    low, high = low - extra // 2, high + extra - extra // 2
    shift = min(limit - high, 0)                    # back inside, first from the far end, then from the near one
    low, high = low + shift, high + shift
    return max(low, 0), min(high - min(low, 0), limit)


def expand_crop_region(crop_region, processing_width, processing_height, image_width, image_height):
    """The rectangle made longer in one direction, to the ratio that it will be processed in."""
    x1, y1, x2, y2 = crop_region
    ratio = processing_width / processing_height
    if (x2 - x1) / (y2 - y1) > ratio:
        y1, y2 = _widen(y1, y2, (x2 - x1) / ratio, image_height)
    else:
        x1, x2 = _widen(x1, x2, (y2 - y1) * ratio, image_width)
    return x1, y1, x2, y2


def fill(image, mask):
    """Masked areas in blurred colours of what is around them, coarse to fine."""
    around = Image.composite(image.convert("RGBA").convert("RGBa"), Image.new("RGBa", image.size), ImageOps.invert(mask.convert("L")))
    radii = (256, 64, 16, 16, 4, 4, 4, 4, 2, 2, 0)
    layers = {radius: around.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA") for radius in set(radii)}
    stack = (layers[radius] for radius in radii)
    return functools.reduce(Image.alpha_composite, stack, Image.new("RGBA", image.size)).convert("RGB")
