"""Colour match: one mapping per colour channel for a whole clip, against the colour shift that the PIA paper names as
its limitation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .affinity import frame_index
from .errors import SettingsError
from .video.frames import as_frames

GAINS = (
    0.5,
    2.0,
)  # own choice: what lies beyond is another picture, not a colour shift, and would show as noise or fog
FLAT = 1.0  # own choice: a channel whose deviation is below one level of 255 says nothing about contrast; its gain is 1


def channel_mapping(frame: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset per channel, [3] each, with which `frame`'s mean and deviation become `picture`'s; both [H, W,
    3], 0..255."""
    have_mean, have_spread = frame.mean((0, 1), dtype=np.float64), frame.std((0, 1), dtype=np.float64)
    want_mean, want_spread = picture.mean((0, 1), dtype=np.float64), picture.std((0, 1), dtype=np.float64)
    flat = (have_spread < FLAT) | (want_spread < FLAT)
    gain = np.where(flat, 1.0, np.clip(want_spread / np.maximum(have_spread, FLAT), *GAINS))
    return gain, want_mean - gain * have_mean


def match_colors(
    frames: Sequence[Image.Image], picture: Image.Image, condition_frame: int = 0, strength: float = 1.0
) -> list[Image.Image]:
    """The frames as RGB pictures, their colours pulled towards `picture`'s.

    One gain and one offset per colour channel are found so that the condition frame gets the mean and deviation of
    `picture` (of any size), and every frame is mapped by these same numbers, so that nothing flickers. `strength` 0..1
    blends between no change and all of it; 0 gives the very frames back. Raises SettingsError for a strength outside
    0..1 or a condition frame outside the clip.
    """
    if not 0 <= strength <= 1:
        raise SettingsError(f"PIA setting color_match is {strength}; it must be a number from 0 to 1.")
    start = frame_index(condition_frame, len(frames))
    if strength == 0:
        return list(frames)
    clip = as_frames(frames)
    gain, offset = channel_mapping(clip[start], np.asarray(picture.convert("RGB")))
    levels = np.arange(256)[:, None]
    mapped = levels + strength * ((gain - 1) * levels + offset)  # [256, 3]
    table = np.clip(np.round(mapped), 0, 255).astype(np.uint8)
    return [Image.fromarray(np.stack([table[frame[..., c], c] for c in range(3)], -1)) for frame in clip]
