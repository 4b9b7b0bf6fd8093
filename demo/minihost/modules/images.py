"""Pictures: fitted into a size, read, named by patterns, and saved with their infotext."""
from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
import string
from types import SimpleNamespace

from modules import errors, script_callbacks, shared
from modules.shared import opts, state
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

COMMENT = ExifTags.Base.UserComment
NOTHING = object()              # a pattern's value that takes the text before it away too
BAD_IN_NAMES = str.maketrans(dict.fromkeys('#<>:"/\\|?*\n\r\t', "_"))
LONGEST_PART = 128              # characters
TECHNICAL = set("""jfif jfif_version jfif_unit jfif_density dpi exif loop background timestamp duration progressive progression
icc_profile chromaticity photoshop""".split())


# ---- sizes

def resize_image(resize_mode, im, width, height, upscaler_name=None):
    """To width x height, by Lanczos: 0 stretched, 1 cut at the sides, 2 with its own edge pixels around it."""
    size = width, height
    if resize_mode not in (1, 2):
        return im.resize(size, Image.Resampling.LANCZOS)
    wider = width * im.height > height * im.width           # than the picture
    if wider == (resize_mode == 1):
        inner = width, im.height * width // im.width
    else:
        inner = im.width * height // im.height, height
    part, out = im.resize(inner, Image.Resampling.LANCZOS), Image.new("RGB", size)
    left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
    out.paste(part, (left, top))
    if resize_mode == 2 and left > 0:
        for x, edge in ((0, 0), (left + inner[0], inner[0])):
            out.paste(part.resize((left, height), box=(edge, 0, edge, height)), (x, 0))
    elif resize_mode == 2 and top > 0:
        for y, edge in ((0, 0), (top + inner[1], inner[1])):
            out.paste(part.resize((width, top), box=(0, edge, width, edge)), (0, y))
    return out


def image_grid(imgs, batch_size=1, rows=None):
    """All pictures in one, as square as it gets unless the setting "n_rows" says otherwise."""
    wished = rows or (opts.n_rows if opts.n_rows > 0 else batch_size if opts.n_rows == 0 else round(math.sqrt(len(imgs))))
    rows = min(wished, len(imgs))
    columns = -(-len(imgs) // rows)
    width, height = (max(sides) for sides in zip(*(picture.size for picture in imgs)))
    grid = Image.new("RGB", (columns * width, rows * height), opts.grid_background_color)
    for place, picture in enumerate(imgs):
        row, column = divmod(place, columns)
        grid.paste(picture, (column * width, row * height))
    return grid


def flatten(img, bgcolor):
    """RGB; what is transparent shows `bgcolor`."""
    if img.mode == "RGBA":
        below = Image.new("RGBA", img.size, bgcolor)
        below.alpha_composite(img)
        img = below
    return img.convert("RGB")


# ---- reading

def fix_image(image):
    """Turned as its EXIF says."""
    with contextlib.suppress(Exception):            # EXIF that cannot be read turns nothing
        return ImageOps.exif_transpose(image) if image is not None else None
    return image


def read(fp):
    return fix_image(Image.open(fp))


def read_info_from_image(image):
    """(infotext or None, what else the file says)."""
    said = dict(image.info)
    infotext = said.pop("parameters", None)
    if "exif" in said:
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(COMMENT, b"")
        if isinstance(comment, bytes) and comment[:8] == b"UNICODE\0":
            infotext = comment[8:].decode("utf-16-be", "ignore") or infotext
    elif "comment" in said:
        comment = said["comment"]
        infotext = comment.decode("utf-8", "ignore") if isinstance(comment, bytes) else comment
    return infotext, {key: value for key, value in said.items() if key not in TECHNICAL}


# ---- names

def sanitize_filename_part(text, replace_spaces=True):
    text = text.translate(BAD_IN_NAMES).replace(" ", "_" if replace_spaces else " ").lstrip(" ")
    return text[:LONGEST_PART].rstrip(" .")


def get_next_sequence_number(path, basename):
    """One above the highest number that file names in `path` begin with (behind "basename-")."""
    begin = re.compile(rf"{re.escape(f'{basename}-' if basename else '')}(\d+)(?=[-.]|$)")
    return 1 + max((int(found[1]) for found in map(begin.match, os.listdir(path)) if found), default=-1)


class FilenameGenerator:
    """`apply("[seed]-[prompt_words]")` for one picture of `p`; a pattern that is not known stays as it is."""

    def __init__(self, p, seed, prompt, image, zip=False, basename=""):
        self.p, self.seed, self.prompt, self.image, self.zip, self.basename = p, seed, prompt, image, zip, basename

    def apply(self, x):
        out, rest = "", x
        while found := re.match(r"([^\[\]]*)\[([^\[\]]+)\]", rest):
            name, *given = re.split("[<>]+", found[2])
            value = self._value(name.lower(), [text for text in given if text])
            if value is not NOTHING:
                out += f"{found[1]}{f'[{found[2]}]' if value is None else value}"
            rest = rest[found.end():]
        return out + rest

    def _value(self, name, given):
        try:
            value = getattr(self, f"_{name}", None)
            return value(*given) if value is not None and name != "value" else self._plain(name)
        except Exception:
            errors.report(f"[{name}] cannot be put into a file name", exc_info=True)
            return None

    def _plain(self, name):
        p, info = self.p, shared.sd_model.sd_checkpoint_info
        several = not self.zip and p.batch_size * p.n_iter > 1
        values = {
            "seed": self.seed if self.seed is not None else "", "steps": p.steps, "cfg": p.cfg_scale, "width": self.image.width,
            "height": self.image.height, "sampler": sanitize_filename_part(p.sampler_name, False), "batch_size": p.batch_size,
            "scheduler": p.scheduler or "", "model_hash": info.shorthash, "none": "", "clip_skip": opts.CLIP_stop_at_last_layers,
            "model_name": sanitize_filename_part(info.name_for_extra, False), "job_timestamp": state.job_timestamp,
            "batch_number": p.batch_index + 1 if p.batch_size > 1 and not self.zip else NOTHING,
            "generation_number": p.iteration * p.batch_size + p.batch_index + 1 if several else NOTHING,
            "denoising": p.denoising_strength or NOTHING, "basename": self.basename or "img",
            "prompt": sanitize_filename_part(self.prompt), "prompt_no_styles": sanitize_filename_part(self.prompt, False),
            "prompt_spaces": sanitize_filename_part(self.prompt, False)}
        return values.get(name)

    def _date(self):
        return self._datetime("%Y-%m-%d")

    def _datetime(self, form="%Y%m%d%H%M%S"):
        return sanitize_filename_part(datetime.datetime.now().strftime(form), False)

    def _prompt_words(self):
        words = re.split(rf"[\s{re.escape(string.punctuation)}]+", self.prompt)
        return sanitize_filename_part(" ".join(list(filter(None, words))[:opts.directories_max_prompt_words]) or "empty", False)


# ---- saving

def png_text(info):
    """PNG chunks of all entries that are text."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in info.items():
        if isinstance(key, str) and isinstance(value, str):
            chunks.add_text(key, value)
    return chunks


def exif_comment(text):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[COMMENT] = b"UNICODE\0" + (text or "").encode("utf-16-be")
    return exif.tobytes()


def _write(image, path, kind, infotext, more):
    """By suffix: PNG text, GIF comment, or EXIF."""
    if kind == "png":
        image.save(path, "PNG", pnginfo=png_text({**more, **({"parameters": infotext} if infotext else {})}))
    elif kind == "gif":
        image.save(path, "GIF", comment=infotext or "")
    else:
        form = "WEBP" if kind == "webp" else "JPEG"
        image.convert("RGB").save(path, form, quality=opts.jpeg_quality, lossless=opts.webp_lossless, exif=exif_comment(infotext))


def save_image(image, path, basename, seed=None, prompt=None, extension="png", info=None, short_filename=False, grid=False, p=None,
               existing_info=None, forced_filename=None, suffix="", save_to_dirs=None, **kwargs):
    """(path of the file, path of the text file or None). Afterwards `image.already_saved_as` is the path."""
    names = FilenameGenerator(p, seed, prompt or "", image, basename=basename)
    if opts.save_to_dirs if save_to_dirs is None else save_to_dirs:
        path = os.path.join(path, names.apply(opts.directories_filename_pattern or "[prompt_words]").strip(" ").rstrip("\\/"))
    os.makedirs(path, exist_ok=True)
    pattern = opts.samples_filename_pattern or ("[seed]" if opts.save_to_dirs else "[seed]-[prompt_spaces]")
    name = forced_filename or ("" if short_filename or seed is None else names.apply(pattern)) + suffix
    if forced_filename is None and (opts.save_images_add_number or not name):
        number = get_next_sequence_number(path, basename)
        number = f"{basename}-{number:04}" if basename else f"{number:05}"
        name = f"{number}-{name}" if name else number
    longest = os.statvfs(path).f_namemax - len(extension) - 5
    saved = SimpleNamespace(
        image=image, p=p, filename=os.path.join(path, f"{name[:longest]}.{extension}"),
        pnginfo={**(existing_info or {}), **({"parameters": info} if info is not None else {})})
    script_callbacks.before_image_saved_callback(saved)
    kind = os.path.splitext(saved.filename)[1].lstrip(".").lower()
    more, infotext = dict(saved.pnginfo), saved.pnginfo.get("parameters")
    more.pop("parameters", None)
    _write(saved.image, saved.filename, kind, infotext if opts.enable_pnginfo else None, more)
    saved.image.already_saved_as = saved.filename
    text_file = None
    if opts.save_txt and info is not None:
        text_file = f"{os.path.splitext(saved.filename)[0]}.txt"
        with open(text_file, "w", encoding="utf-8") as file:
            file.write(f"{info}\n")
    script_callbacks.image_saved_callback(saved)
    return saved.filename, text_file
