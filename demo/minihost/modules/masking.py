"""Rectangles around masks; filling of masked areas."""
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
    known = Image.new("RGBa", image.size)
    known.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    out = Image.new("RGBA", image.size)
    for radius, repeats in ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)):
        layer = known.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(repeats):
            out.alpha_composite(layer)
    return out.convert("RGB")
