"""Pictures: fitted into a size, read, named by patterns, and saved with their infotext; masks, rectangles around them,
and what is laid over a finished picture. A mask is mode L, white = new."""

import datetime
import math
import os
import re
import string
from types import SimpleNamespace

import numpy as np
from modules import script_callbacks, shared
from modules.shared import opts
from PIL import ExifTags, Image, ImageFilter, ImageOps, ImageStat, PngImagePlugin
from scipy.ndimage import gaussian_filter1d

# what a file says of itself besides its text
TECHNICAL = set("jfif jfif_version jfif_unit jfif_density dpi exif loop background timestamp duration".split())
FILL_RADII = (256, 64, 16, 16, 4, 4, 4, 4, 2, 2, 0)  # pixels of blur, coarse to fine


def resize_image(resize_mode, im, width, height, upscaler_name=None):
    """To width x height, by Lanczos: 0 stretched, 1 cut at the sides, 2 whole, on itself stretched."""
    size, lanczos = (width, height), Image.Resampling.LANCZOS
    if resize_mode not in (1, 2):
        return im.resize(size, lanczos)
    wider = width * im.height > height * im.width  # than the picture
    whole_width = wider == (resize_mode == 1)
    inner = (width, im.height * width // im.width) if whole_width else (im.width * height // im.height, height)
    out = im.resize(size, lanczos).convert("RGB")
    out.paste(im.resize(inner, lanczos), (width // 2 - inner[0] // 2, height // 2 - inner[1] // 2))
    return out


def image_grid(imgs, batch_size=1, rows=None):
    """All pictures in one, as square as it gets."""
    columns = -(-len(imgs) // min(rows or round(math.sqrt(len(imgs))), len(imgs)))
    width, height = (max(sides) for sides in zip(*(picture.size for picture in imgs)))
    rows = -(-len(imgs) // columns)
    script_callbacks.image_grid_callback(SimpleNamespace(imgs=imgs, cols=columns, rows=rows))
    grid = Image.new("RGB", (columns * width, rows * height), "#ffffff")
    for place, picture in enumerate(imgs):
        grid.paste(picture, (place % columns * width, place // columns * height))
    return grid


def flatten(img, bgcolor):
    """RGB; what is transparent shows `bgcolor`."""
    if img.mode == "RGBA":
        img = Image.alpha_composite(Image.new("RGBA", img.size, bgcolor), img)
    return img.convert("RGB")


def read_info_from_image(image):
    """(infotext or None, what else the file says)."""
    said = dict(image.info)
    infotext = said.pop("parameters", None)
    if "exif" in said:
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        if isinstance(comment, bytes) and comment[:8] == b"UNICODE\0":
            infotext = comment[8:].decode("utf-16-be", "ignore") or infotext
    elif "comment" in said:
        comment = said["comment"]
        infotext = comment.decode("utf-8", "ignore") if isinstance(comment, bytes) else comment
    return infotext, {key: value for key, value in said.items() if key not in TECHNICAL}


def _for_a_name(text):
    return re.sub(r'[#<>:"/\\|?*\n\r\t]', "_", text).lstrip(" ")[:128].rstrip(" .")


def get_next_sequence_number(path, basename):
    """One above the highest number that file names in `path` begin with (behind "basename-")."""
    begin = re.compile(rf"{re.escape(f'{basename}-' if basename else '')}(\d+)(?=[-.]|$)")
    return 1 + max((int(found[1]) for found in map(begin.match, os.listdir(path)) if found), default=-1)


class FilenameGenerator:
    """`apply("[seed]-[prompt_words]")` for one picture of `p`; a pattern that is not known stays as it is."""

    def __init__(self, p, seed, prompt, image, zip=False, basename=""):
        self.p, self.seed, self.prompt, self.image = p, seed, prompt, image

    def apply(self, x):
        p, values = self.p, {"seed": self.seed, "width": self.image.width, "height": self.image.height}
        words = [word for word in re.split(rf"[\s{re.escape(string.punctuation)}]+", self.prompt) if word] or ["empty"]
        values["prompt_words"] = _for_a_name(" ".join(words[: opts.directories_max_prompt_words]))
        values["prompt_spaces"] = _for_a_name(self.prompt)
        values["prompt"] = _for_a_name(self.prompt.replace(" ", "_"))
        values["model_name"] = _for_a_name(shared.sd_model.sd_checkpoint_info.name_for_extra)
        values["date"] = datetime.datetime.now().strftime("%Y-%m-%d")
        values["generation_number"] = p.iteration * p.batch_size + p.batch_index + 1
        if p.batch_size * p.n_iter == 1:  # there is one alone: what stands before its number goes too
            x = re.sub(r"[^\[\]]*\[generation_number\]", "", x)
        return re.sub(r"\[(\w+)\]", lambda found: str(values.get(found[1], found[0])), x)


def write_png(image, file):
    """With the entries of `info` that are texts."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            chunks.add_text(key, value)
    image.save(file, "PNG", pnginfo=chunks)


def save_image(image, path, basename, seed, prompt, info, p):
    """A PNG with its infotext, numbered in its folder; `image.already_saved_as` is its path afterwards."""
    names = FilenameGenerator(p, seed, prompt, image)
    if opts.save_to_dirs:
        path = os.path.join(path, names.apply(opts.directories_filename_pattern))
    os.makedirs(path, exist_ok=True)
    name = "" if basename else names.apply(opts.samples_filename_pattern or "[seed]")
    parts = [basename, f"{get_next_sequence_number(path, basename):05}", name]
    image.already_saved_as = os.path.join(path, f"{'-'.join(filter(None, parts))}.png")
    if opts.enable_pnginfo:
        image.info["parameters"] = info
    write_png(image, image.already_saved_as)


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
    height = `ratio`."""
    box = mask.getbbox()
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
        part, image = resize_image(1, image, *paste_loc[2:]), Image.new("RGBA", overlay.size)
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
