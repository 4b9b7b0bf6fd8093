"""What stands in the host's `images` for a clip: files as text for the API, pictures that move for the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.shared import opts
from PIL import Image

from .clips import MadeClip
from .result import ClipImage, Delivered, as_base64

MOVING = ("gif", "webp", "apng")  # what the page's gallery can show moving, best first


def items_of(clip: MadeClip, written: Sequence[Delivered], is_api: bool, scripted: bool) -> list[Any]:
    """The items of `images` for one clip whose files are `written`; each file learns which item is its own.

    scripted: a script reads the pictures and counts them, so that it gets one per clip.
    """
    if not written:  # the frames themselves, which the host encodes as PNG
        return [_shown(clip, frame) for frame in clip.frames]
    if is_api and scripted:
        data = Path(written[0].path).read_bytes()
        written[0].image = ClipImage.of(_shown(clip, clip.frames[0], written[0].path), data)
        return [written[0].image]
    if is_api:
        for file in written:
            file.image = as_base64(Path(file.path).read_bytes())
        return [file.image for file in written]
    return _gallery(clip, written)


def _gallery(clip: MadeClip, written: Sequence[Delivered]) -> list[Image.Image]:
    """The first frame of the clip, shown as the file that moves; and every frame that is a file of its own."""
    moving = next((file for name in MOVING for file in written if file.format == name), None)
    items = [_shown(clip, clip.frames[0], moving.path if moving else None)]
    if moving is not None:
        moving.image = items[0]
    for file in written:
        if file.format == "png":
            with Image.open(file.path) as frame:
                file.image = _shown(clip, frame, file.path)
            items.append(file.image)
    return items


def _shown(clip: MadeClip, frame: Image.Image, path: str | None = None) -> Image.Image:
    image = frame.copy()
    if opts.enable_pnginfo:
        image.info["parameters"] = clip.infotext
    if path is not None:
        image.already_saved_as = path
    return image
