"""The host's pictures, cut into clips."""

from __future__ import annotations

import dataclasses
from typing import Any

from modules.shared import opts
from PIL import Image

from lib_pia.host.generation.made import MadeClips

from .result import Delivered


@dataclasses.dataclass
class MadeClip:
    """One clip on its way out."""

    number: int
    frames: list[Image.Image]
    seed: int
    subseed: int
    prompt: str
    negative_prompt: str
    infotext: str
    files: list[Delivered] = dataclasses.field(default_factory=list)


def cut_into_clips(made: MadeClips, processed: Any) -> list[MadeClip]:
    """The clips among the host's pictures, the frames that were made. Left out are those that stay as they were given,
    grids and masks that settings put between them, and what other extensions put behind them (ControlNet: a detected
    map per control picture)."""
    p, size, known = made.p, made.request.rows, made.request.known
    given = known - made.request.remade
    pictures = processed.images[processed.index_of_first_image :]
    infotexts = processed.infotexts[processed.index_of_first_image :]
    total = sum(made.frame_counts)
    frames = [_rgb(picture) for picture in pictures[:: _pictures_per_frame(p)][:total]]
    clips, start = [], 0
    for number, count in enumerate(made.frame_counts):
        first = number * size
        if count > known:
            clips.append(
                MadeClip(
                    number,
                    frames[start + given : start + count],
                    p.all_seeds[first],
                    p.all_subseeds[first],
                    p.all_prompts[first],
                    p.all_negative_prompts[first],
                    infotexts[start] if start < len(infotexts) else processed.info,
                )
            )
        start += count
    return clips


def _pictures_per_frame(p: Any) -> int:
    """A frame, and the masks that the host puts behind each (processing.py of v1.10.1, process_images_inner)."""
    if getattr(p, "mask_for_overlay", None) is None:
        return 1
    return 1 + bool(opts.return_mask) + bool(opts.return_mask_composite)


def _rgb(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else picture.convert("RGB")
