"""Pictures: resize, read, save with the infotext inside."""
from __future__ import annotations

import contextlib
import io
import math
import os

from modules import errors, script_callbacks
from modules._filenames import (  # noqa: F401
    NOTHING_AND_SKIP_PREVIOUS_TEXT,
    FilenameGenerator,
    get_sampler_scheduler,
    invalid_filename_chars,
    max_filename_part_length,
    sanitize_filename_part,
)
from modules.shared import opts
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

LANCZOS = Image.Resampling.LANCZOS
IGNORED_INFO_KEYS = {
    "jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "exif", "loop", "background", "timestamp", "duration", "progressive",
    "progression", "icc_profile", "chromaticity", "photoshop"}


def image_grid(imgs, batch_size=1, rows=None):
    """All pictures in one."""
    if rows is None:
        rows = opts.n_rows if opts.n_rows > 0 else batch_size if opts.n_rows == 0 else round(math.sqrt(len(imgs)))
    rows = min(rows, len(imgs))
    layout = script_callbacks.ImageGridLoopParams(imgs, math.ceil(len(imgs) / rows), rows)
    script_callbacks.image_grid_callback(layout)
    width, height = max(img.width for img in imgs), max(img.height for img in imgs)
    grid = Image.new("RGB", (layout.cols * width, layout.rows * height), opts.grid_background_color)
    for i, img in enumerate(layout.imgs):
        img = Image.open(img) if isinstance(img, str) else img
        grid.paste(img, (i % layout.cols * width, i // layout.cols * height))
    return grid


def resize_image(resize_mode, im, width, height, upscaler_name=None):
    """To width x height: 0 (and 3) stretched, 1 cropped, 2 with its own edges around it. Always Lanczos here."""
    if resize_mode not in (1, 2):
        return im.resize((width, height), LANCZOS)
    scales = width / im.width, height / im.height
    scale = max(scales) if resize_mode == 1 else min(scales)
    w, h = (width, im.height * width // im.width) if scale == scales[0] else (im.width * height // im.height, height)
    part = im.resize((w, h), LANCZOS)
    left, top = width // 2 - w // 2, height // 2 - h // 2
    out = Image.new("RGB", (width, height))
    out.paste(part, (left, top))
    if resize_mode == 2 and left > 0:
        out.paste(part.resize((left, height), box=(0, 0, 0, height)), (0, 0))
        out.paste(part.resize((left, height), box=(w, 0, w, height)), (left + w, 0))
    if resize_mode == 2 and top > 0:
        out.paste(part.resize((width, top), box=(0, 0, width, 0)), (0, 0))
        out.paste(part.resize((width, top), box=(0, h, width, h)), (0, top + h))
    return out


def get_next_sequence_number(path, basename):
    """One more than the highest number that a file of the folder starts with (after "basename-"); 0 in an empty one."""
    prefix = f"{basename}-" if basename else ""
    first = (os.path.splitext(name[len(prefix):])[0].split("-")[0] for name in os.listdir(path) if name.startswith(prefix))
    return 1 + max((int(part) for part in first if part.isdigit()), default=-1)


def _text_chunks(info):
    """The PNG chunks for the entries of `info` that are text."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in info.items():
        if {type(key), type(value)} <= {str}:
            chunks.add_text(key, value)
    return chunks


def _exif_comment(text):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + (text or "").encode("utf-16-be")
    return exif.tobytes()


def save_image_with_geninfo(image, geninfo, filename, extension=None, existing_pnginfo=None, pnginfo_section_name='parameters'):
    """Save with `geninfo` as PNG text, EXIF comment or GIF comment, by the extension."""
    ending = (extension or os.path.splitext(filename)[1]).lower()
    options = {} if ending == ".gif" else {"quality": opts.jpeg_quality}
    if ending == ".png" and opts.enable_pnginfo:
        options["pnginfo"] = _text_chunks({key: str(value) for key, value in {**(existing_pnginfo or {}), pnginfo_section_name: geninfo}.items()})
    elif ending == ".gif":
        options["comment"] = geninfo
    elif ending in (".jpg", ".jpeg", ".webp"):
        options["lossless"] = opts.webp_lossless
        if geninfo is not None and opts.enable_pnginfo:
            options["exif"] = _exif_comment(geninfo)
        image = image.convert("RGB") if image.mode == "RGBA" else image
    image.save(filename, Image.registered_extensions()[ending], **options)


def _target_path(namegen, path, basename, extension, suffix, short):
    """The path that the next picture with this pattern gets, without what `forced_filename` does."""
    if short:
        decoration = ""
    else:
        decoration = opts.samples_filename_pattern or ("[seed]" if opts.save_to_dirs else "[seed]-[prompt_spaces]")
    decoration = namegen.apply(decoration) + suffix
    if not (opts.save_images_add_number or decoration == ""):
        return os.path.join(path, f"{decoration}.{extension}")
    decoration = f"-{decoration}" if decoration else ""
    number = get_next_sequence_number(path, basename)
    while True:
        name = f"{basename}-{number:04}" if basename else f"{number:05}"
        full = os.path.join(path, f"{name}{decoration}.{extension}")
        if not os.path.exists(full):
            return full
        number += 1


def save_image(image, path, basename, seed=None, prompt=None, extension='png', info=None, short_filename=False, no_prompt=False, grid=False,
               pnginfo_section_name='parameters', p=None, existing_info=None, forced_filename=None, suffix="", save_to_dirs=None):
    """Save under the settings' patterns; (path, path of the text file or None). Sets `image.already_saved_as`."""
    namegen = FilenameGenerator(p, seed, prompt, image=image, basename=basename)
    if save_to_dirs is None:
        save_to_dirs = opts.grid_save_to_dirs if grid else opts.save_to_dirs and not no_prompt
    if save_to_dirs:
        path = os.path.join(path, namegen.apply(opts.directories_filename_pattern or "[prompt_words]").lstrip(" ").rstrip("\\ /"))
    os.makedirs(path, exist_ok=True)
    if forced_filename is not None:
        full = os.path.join(path, f"{forced_filename}.{extension}")
    else:
        full = _target_path(namegen, path, basename, extension, suffix, short_filename or seed is None)

    pnginfo = dict(existing_info or {})
    if info is not None:
        pnginfo[pnginfo_section_name] = info
    saved = script_callbacks.ImageSaveParams(image, p, full, pnginfo)
    script_callbacks.before_image_saved_callback(saved)
    info = saved.pnginfo.get(pnginfo_section_name)
    stem, suffix = os.path.splitext(saved.filename)
    stem = stem[:os.statvfs(path).f_namemax - max(4, len(suffix))]
    saved.filename = stem + suffix
    save_image_with_geninfo(saved.image, info, f"{stem}.tmp", suffix, saved.pnginfo, pnginfo_section_name)
    os.replace(f"{stem}.tmp", saved.filename)
    saved.image.already_saved_as = saved.filename
    text_file = None
    if opts.save_txt and info is not None:
        text_file = f"{stem}.txt"
        with open(text_file, "w", encoding="utf8") as file:
            file.write(f"{info}\n")
    script_callbacks.image_saved_callback(saved)
    return saved.filename, text_file


def read_info_from_image(image: Image.Image) -> tuple[str | None, dict]:
    """(infotext or None, everything else that the file says)."""
    items = dict(image.info or {})
    geninfo = items.pop("parameters", None)
    if "exif" in items:
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
            geninfo = comment[8:].decode("utf-16-be", errors="ignore") or geninfo
    elif "comment" in items:
        geninfo = items["comment"]
        geninfo = geninfo.decode("utf8", errors="ignore") if isinstance(geninfo, bytes) else geninfo
    return geninfo, {key: value for key, value in items.items() if key not in IGNORED_INFO_KEYS}


def image_data(data):
    import gradio as gr

    try:
        return read_info_from_image(read(io.BytesIO(data)))[0], None
    except Exception:
        errors.record_exception()
    return (data.decode("utf8", errors="ignore"), None) if len(data) < 10000 else (gr.update(), None)


def flatten(img, bgcolor):
    """RGB, with transparency over `bgcolor` ("#ffffff")."""
    if img.mode == "RGBA":
        img = Image.alpha_composite(Image.new("RGBA", img.size, bgcolor), img)
    return img.convert("RGB")


def read(fp, **kwargs):
    return fix_image(Image.open(fp, **kwargs))


def fix_image(image: Image.Image):
    """Turned as EXIF says."""
    with contextlib.suppress(Exception):            # EXIF data that cannot be read leaves the picture as it is
        image = image and ImageOps.exif_transpose(image)
    return image


