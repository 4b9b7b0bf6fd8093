"""Pictures: fitted into a size, read, named by patterns, and saved with their infotext."""
import datetime
import math
import os
import re
import string
from types import SimpleNamespace

from modules import script_callbacks, shared
from modules.shared import opts, state
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

COMMENT = ExifTags.Base.UserComment
NOTHING = object()              # a pattern's value that takes the text before it away too
TECHNICAL = set(["jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "exif", "loop", "background", "timestamp", "duration", "icc_profile"])


# ---- sizes

def resize_image(resize_mode, im, width, height, upscaler_name=None):
    """To width x height, by Lanczos: 0 stretched, 1 cut at the sides, 2 whole, on itself stretched."""
    size, lanczos = (width, height), Image.Resampling.LANCZOS
    if resize_mode not in (1, 2):
        return im.resize(size, lanczos)
    wider = width * im.height > height * im.width           # than the picture
    inner = (width, im.height * width // im.width) if wider == (resize_mode == 1) else (im.width * height // im.height, height)
    out = im.resize(size, lanczos).convert("RGB")
    out.paste(im.resize(inner, lanczos), (width // 2 - inner[0] // 2, height // 2 - inner[1] // 2))
    return out


def image_grid(imgs, batch_size=1, rows=None):
    """All pictures in one, as square as it gets unless the setting "n_rows" says otherwise."""
    wished = rows or (opts.n_rows if opts.n_rows > 0 else batch_size if opts.n_rows == 0 else round(math.sqrt(len(imgs))))
    columns = -(-len(imgs) // min(wished, len(imgs)))
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


# ---- reading

def read(fp):
    """Turned as its EXIF says."""
    return ImageOps.exif_transpose(Image.open(fp))


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
    text = re.sub(r'[#<>:"/\\|?*\n\r\t]', "_", text)
    return (text.replace(" ", "_") if replace_spaces else text).lstrip(" ")[:128].rstrip(" .")


def get_next_sequence_number(path, basename):
    """One above the highest number that file names in `path` begin with (behind "basename-")."""
    begin = re.compile(rf"{re.escape(f'{basename}-' if basename else '')}(\d+)(?=[-.]|$)")
    return 1 + max((int(found[1]) for found in map(begin.match, os.listdir(path)) if found), default=-1)


class FilenameGenerator:
    """`apply("[seed]-[prompt_words]")` for one picture of `p`; a pattern that is not known stays as it is."""

    def __init__(self, p, seed, prompt, image, zip=False, basename=""):
        self.p, self.seed, self.prompt, self.image = p, seed, prompt, image

    def apply(self, x):
        values = self._values()

        def value(found):
            before, name, argument = found[1], found[2].lower(), found[3]
            if name == "datetime" and argument:
                return before + sanitize_filename_part(datetime.datetime.now().strftime(argument), False)
            if name not in values:
                return found[0]
            return "" if values[name] is NOTHING else f"{before}{values[name]}"

        return re.sub(r"([^\[\]]*)\[(\w+)(?:<([^>]*)>)?\]", value, x)

    def _values(self):
        p, info, now = self.p, shared.sd_model.sd_checkpoint_info, datetime.datetime.now()
        words = [word for word in re.split(rf"[\s{re.escape(string.punctuation)}]+", self.prompt) if word] or ["empty"]
        plain = sanitize_filename_part(self.prompt, False)
        return {
            "seed": self.seed, "steps": p.steps, "cfg": p.cfg_scale, "width": self.image.width, "height": self.image.height,
            "sampler": sanitize_filename_part(p.sampler_name, False), "batch_size": p.batch_size, "none": "",
            "model_name": sanitize_filename_part(info.name_for_extra, False), "model_hash": info.shorthash,
            "date": now.strftime("%Y-%m-%d"), "datetime": now.strftime("%Y%m%d%H%M%S"), "job_timestamp": state.job_timestamp,
            "batch_number": p.batch_index + 1 if p.batch_size > 1 else NOTHING,
            "generation_number": p.iteration * p.batch_size + p.batch_index + 1 if p.batch_size * p.n_iter > 1 else NOTHING,
            "prompt": sanitize_filename_part(self.prompt), "prompt_no_styles": plain, "prompt_spaces": plain,
            "prompt_words": sanitize_filename_part(" ".join(words[:opts.directories_max_prompt_words]), False)}


# ---- saving

def png_text(info):
    """PNG chunks of all entries that are text."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in info.items():
        if isinstance(key, str) and isinstance(value, str):
            chunks.add_text(key, value)
    return chunks


def encode(image, file, kind):
    """As PNG, JPEG or WebP, with its infotext (`image.info["parameters"]`) as PNG text or EXIF comment."""
    if kind == "png":
        image.save(file, "PNG", pnginfo=png_text(image.info))
        return
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[COMMENT] = b"UNICODE\0" + image.info.get("parameters", "").encode("utf-16-be")
    image.convert("RGB").save(file, "WEBP" if kind == "webp" else "JPEG", quality=opts.jpeg_quality, exif=exif.tobytes())


def save_image(image, path, basename, seed=None, prompt=None, extension="png", info=None, p=None, **kwargs):
    """The path of the file, numbered in its folder; also `image.already_saved_as` afterwards."""
    names = FilenameGenerator(p, seed, prompt or "", image)
    if opts.save_to_dirs:
        path = os.path.join(path, names.apply(opts.directories_filename_pattern).strip(" ").rstrip("\\/"))
    os.makedirs(path, exist_ok=True)
    name = "" if basename else names.apply(opts.samples_filename_pattern or "[seed]")
    parts = [basename, f"{get_next_sequence_number(path, basename):05}", name]
    image.already_saved_as = os.path.join(path, f"{'-'.join(filter(None, parts))}.{extension}")
    if opts.enable_pnginfo and info is not None:
        image.info["parameters"] = info
    with open(image.already_saved_as, "wb") as file:
        encode(image, file, extension)
    return image.already_saved_as, None
