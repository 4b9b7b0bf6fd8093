"""A clip of a whole X/Y/Z plot, in which all cells play at once, beside the host's grid of pictures.

The plot hands the first pictures of its cells to the host's `image_grid`, which tells us of them; each carries its
clip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from modules import errors
from PIL import Image

from lib_pia.host.generation.made import MadeClips

from .clips import MadeClip
from .recent_clips import recent, temporary_folder
from .result import share_files
from .writing import ClipWriter

ATTRIBUTE = "pia_cell"


@dataclasses.dataclass(frozen=True)
class Cell:
    """The clip behind one picture of a plot; `saves`: whether its files were saved."""

    made: MadeClips
    clip: MadeClip
    saves: bool


def mark(picture: Any, cell: Cell) -> None:
    """Lets `picture`, which stands for a clip, tell of it in a grid."""
    setattr(picture, ATTRIBUTE, cell)


def write_grid(params: Any) -> None:
    """`on_image_grid`: writes the clip of a grid whose pictures are all clips; it is saved where its cells are."""
    cells = [getattr(picture, ATTRIBUTE, None) for picture in params.imgs]
    if len(cells) < 2 or None in cells:
        return
    last: Cell = cells[-1]
    p = last.made.p
    if p.is_api and not last.saves:
        return  # nobody could fetch it
    try:
        frames = grid_frames([cell.clip.frames for cell in cells], params.cols, params.rows)
        clip = dataclasses.replace(last.clip, number=0, frames=frames, files=[])
        temporary = None if last.saves else temporary_folder()
        number = 1 + max((file.clip for file in share_files(p)), default=-1)
        files = ClipWriter(last.made, number).write(clip, temporary)
        share_files(p).extend(files)
        written = [file.to_dict([]) for file in files if file.error is None]
        if written and not p.is_api:
            tab = "img2img" if last.made.request.is_img2img else "txt2img"
            recent.add(tab, clip.infotext, written, None, temporary)
    except Exception:  # the host's own grid is there; what failed stands in the console
        errors.report("PIA could not write the clip of the grid", exc_info=True)


def grid_frames(clips: Sequence[Sequence[Image.Image]], cols: int, rows: int) -> list[Image.Image]:
    """Frames of a grid, filled row by row as the host's is: as many as the longest clip has; shorter ones begin again.

    Every cell is as large as the largest clip's frames.
    """
    width, height = (max(sides) for sides in zip(*(frames[0].size for frames in clips)))
    out = []
    for index in range(max(map(len, clips))):
        sheet = Image.new("RGB", (cols * width, rows * height))
        for place, frames in enumerate(clips[: cols * rows]):
            sheet.paste(frames[index % len(frames)], (place % cols * width, place // cols * height))
        out.append(sheet)
    return out
