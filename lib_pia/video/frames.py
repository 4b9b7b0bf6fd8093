"""Clips as arrays: what counts as a clip, the order in which its frames play, and which of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lib_pia.errors import MediaError


@dataclass(frozen=True)
class FrameSequence:
    """What plays: frames [F, H, W, 3] uint8 and exact frames per second.

    `closed`: the last frames were made to go over into the first one.
    """

    frames: np.ndarray
    fps: Fraction
    closed: bool = False

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(len(self.frames) / self.fps)


def as_frames(frames: Any) -> np.ndarray:
    """The clip as one array [F, H, W, 3], values 0..255 as given.

    `frames`: an array or tensor [F, H, W, 3], or a list of PIL images or of [H, W, 3] arrays. Raises MediaError for
    anything else.
    """
    if hasattr(frames, "detach"):
        frames = frames.detach().cpu().numpy()
    if not isinstance(frames, np.ndarray):
        frames = _stacked(list(frames))
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise MediaError(
            f"The clip has shape {list(frames.shape)}; it must be [frames, height, width, 3 colours] with nothing "
            "empty."
        )
    return frames


def _stacked(frames: Sequence[Any]) -> np.ndarray:
    arrays = [np.asarray(frame.convert("RGB") if hasattr(frame, "convert") else frame) for frame in frames]
    shapes = sorted({array.shape for array in arrays})
    if not shapes:
        raise MediaError("The clip has no frames; give it at least one.")
    if len(shapes) != 1:
        raise MediaError(
            f"The clip's frames have the shapes {', '.join(map(str, shapes[:4]))}; "
            "all frames of one clip must have the same size."
        )
    return np.stack(arrays)


def ping_pong(frames: Sequence[Any]) -> list[Any]:
    """The frames, then the inner ones backwards: 0 1 2 3 2 1. Of 1 or 2 frames nothing is repeated."""
    return [*frames, *list(frames)[-2:0:-1]]


def evenly(total: int, wanted: int, closed: bool = False) -> list[int]:
    """At most `wanted` indices of 0..total-1, evenly spread, first and last one included; or (`closed`) evenly around a
    loop, where the first one comes after the last."""
    if total <= wanted:
        return list(range(total))
    if closed:
        return [i * total // wanted for i in range(wanted)]
    if wanted == 1:
        return [0]
    return [(2 * i * (total - 1) + wanted - 1) // (2 * (wanted - 1)) for i in range(wanted)]


def evenly_chosen(total: int, wanted: int) -> str:
    """The same choice as ffmpeg's `select` expression in n; whole numbers only, and no list, whose length ffmpeg
    limits."""
    if total <= wanted:
        return "1"
    if wanted == 1:
        return "eq(n,0)"
    return f"lt(2*{total - 1}*ceil((2*n-1)*{wanted - 1}/{2 * (total - 1)}),(2*n+1)*{wanted - 1})"


def whole_delays(count: int, fps: float, ticks_per_second: int) -> list[int]:
    """How many ticks each of `count` frames stays, in whole ticks, so that no frame starts more than half a tick
    off."""
    starts = [round(i * ticks_per_second / fps) for i in range(count + 1)]
    return [end - start for start, end in zip(starts, starts[1:])]


def even_sides(frames: np.ndarray) -> np.ndarray:
    """[F, H, W, 3] with the last row and column repeated where H or W is odd."""
    height, width = frames.shape[1:3]
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def at_least(frames: np.ndarray, side: int) -> np.ndarray:
    """[F, H, W, 3] with the last row and column repeated until both sides have `side` px."""
    height, width = frames.shape[1:3]
    return np.pad(frames, ((0, 0), (0, max(0, side - height)), (0, max(0, side - width)), (0, 0)), mode="edge")


def changed_box(before: np.ndarray | None, frame: np.ndarray, step: int = 1) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) around the pixels in which two [H, W, 3] frames differ; left and top are multiples of
    `step`.

    The whole frame without a frame before, one pixel where nothing differs.
    """
    height, width = frame.shape[:2]
    if before is None:
        return 0, 0, width, height
    differs = (before != frame).any(-1)
    if not differs.any():
        return 0, 0, 1, 1
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    return int(columns[0]) // step * step, int(rows[0]) // step * step, int(columns[-1]) + 1, int(rows[-1]) + 1
