"""Inter-frame affinity: how much each frame must look like the condition image, 1 = the same.

It comes from a motion's table, from a curve, or from a reference clip by training's own measure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .affinity_measure import TRAINED_SIZE, distances, trained_view
from .errors import SettingsError
from .video.frames import as_frames

# Distance from the condition frame -> affinity; beyond the end the last value holds. Source: `RANGE_LIST` of
# open-mmlab/PIA (animatediff/utils/util.py). Its style transfer rows are stored there from large to small.
TABLES: dict[str, dict[str, tuple[float, ...]]] = {
    "animate": {
        "small": (1.0, 0.9, 0.85, 0.85, 0.85, 0.8),
        "moderate": (1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75),
        "large": (1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.5),
    },
    "loop": {
        "small": (1.0, 0.9, 0.85, 0.85, 0.85, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.85, 0.85, 0.9, 1.0),
        "moderate": (1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75, 0.75, 0.75, 0.75, 0.75, 0.78, 0.79, 0.8, 0.8, 1.0),
        "large": (1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.8, 1.0),
    },
    "style_transfer": {
        "small": (0.5, 0.4, 0.4, 0.4, 0.35, 0.3),
        "moderate": (0.5, 0.4, 0.4, 0.4, 0.35, 0.35, 0.3, 0.25, 0.2),
        "large": (0.5, 0.2),
    },
}

# 2.5 % and 97.5 % percentile of the distance between WebVid frames that are 0, 1, 2, ... apart at stride 4.
# Source: `statistic` of open-mmlab/PIA, example/config/train.yaml.
WEBVID_PERCENTILES: tuple[tuple[float, float], ...] = (
    (0.0, 0.0),
    (0.3535855, 24.23687346),
    (0.91609545, 30.65091947),
    (1.41165152, 34.40093286),
    (1.56943881, 36.99639585),
    (1.73182842, 39.42044163),
    (1.82733002, 40.94703526),
    (1.88060527, 42.66233244),
    (1.96208071, 43.73070788),
    (2.02723091, 44.25965378),
    (2.10820894, 45.66120213),
    (2.21115041, 46.29561324),
    (2.23412351, 47.08810863),
    (2.29430165, 47.9515062),
    (2.32986362, 48.69085638),
    (2.37310751, 49.19931439),
)
AFFINITY_RANGE = 0.8  # util.py `prepare_mask_coef_by_score`: sim_range [0.2, 1.0]
BEYOND_PERCENTILE = 0.95  # same place: what lies above the high percentile counts as 0.95 of it
_EPSILON = 1e-10  # same place


def frame_index(condition_frame: int, num_frames: int) -> int:
    """`condition_frame` as an index 0..num_frames-1; negative ones count from the end. Raises SettingsError outside the
    clip."""
    if not -num_frames <= condition_frame < num_frames:
        raise SettingsError(
            f"PIA setting condition_frame is {condition_frame} in a clip of {num_frames} frames; "
            f"it must be from {-num_frames} to {num_frames - 1}."
        )
    return condition_frame % num_frames


def resample_curve(points: Sequence[float], num_frames: int) -> torch.Tensor:
    """Control points as one number per frame, [num_frames] float32.

    Exactly `num_frames` numbers are used as they are. Otherwise the points (2 or more) are spread evenly from the first
    to the last frame, with straight lines between them. Raises SettingsError for numbers outside 0..1 and for too few
    of them.
    """
    values = [float(point) for point in points]
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        wrong = next(value for value in values if not (math.isfinite(value) and 0 <= value <= 1))
        raise SettingsError(
            f"PIA setting affinity holds {wrong:g}; every number must be from 0 (moves freely) "
            "to 1 (stays like the picture)."
        )
    if len(values) == num_frames:
        return torch.tensor(values, dtype=torch.float32)
    if len(values) < 2:
        raise SettingsError(
            f"PIA setting affinity holds {len(values)} numbers; it must hold 2 or more, spread evenly over the clip."
        )
    positions = np.arange(num_frames) * (len(values) - 1) / max(num_frames - 1, 1)
    return torch.from_numpy(np.interp(positions, np.arange(len(values)), values)).float()


def affinity_scores(
    num_frames: int,
    condition_frame: int = 0,
    motion: str = "animate",
    magnitude: str = "moderate",
    curve: Sequence[float] | None = None,
) -> torch.Tensor:
    """The affinity of every frame, [num_frames] float32 in [0, 1].

    `animate`, `style_transfer`: the table's value at the frame's distance from the condition frame.
    `loop`: the table's 16 values are resampled to `num_frames`, which keeps both ends at 1, and rotated so that the
    curve starts at the condition frame: that frame and the one before it (the last one, where the condition frame is 0)
    have affinity 1, so that the clip comes back to the picture just before it starts again, at every length and
    condition frame. (Upstream fills up loops longer than 16 frames with 1.0, which freezes their tail, and cuts shorter
    ones off.)
    `curve` (or motion `custom`): `resample_curve`; used as written, whatever the condition frame.

    Raises SettingsError for unknown names, a condition frame outside the clip and a bad curve.
    """
    if num_frames < 1:
        raise SettingsError(f"PIA setting num_frames is {num_frames}; a clip needs at least 1 frame.")
    start = frame_index(condition_frame, num_frames)
    if curve is not None:
        return resample_curve(curve, num_frames)
    if motion == "custom":
        raise SettingsError(
            'PIA setting motion is "custom" but affinity is empty; give affinity a list of 2 or more numbers '
            "from 0 to 1, or choose another motion."
        )
    if motion not in TABLES:
        raise SettingsError(f"PIA setting motion is {motion!r}; it must be one of {', '.join(TABLES)}, custom.")
    if magnitude not in TABLES[motion]:
        raise SettingsError(f"PIA setting magnitude is {magnitude!r}; it must be one of {', '.join(TABLES[motion])}.")
    table = TABLES[motion][magnitude]
    if motion == "loop":
        return resample_curve(table, num_frames).roll(start)
    return torch.tensor(
        [table[min(abs(frame - start), len(table) - 1)] for frame in range(num_frames)], dtype=torch.float32
    )


def frame_distances(frames: Any, condition_frame: int = 0, size: int | None = TRAINED_SIZE) -> torch.Tensor:
    """How far each frame is from the condition frame by training's measure, [F] float32 >= 0 (0 at the condition
    frame); `affinity_measure.distances` says how.

    `frames`: [F, H, W, 3] array or tensor, 0..255, or a list of PIL images. They are first resized and cropped to
    `size` x `size` as training does it (`trained_view`); None measures them as they are.
    """
    clip = as_frames(frames)
    start = frame_index(condition_frame, len(clip))
    return torch.from_numpy(distances(clip if size is None else trained_view(clip, size), start)).float()


def scaled_affinity(
    distances: torch.Tensor,
    condition_frame: int | Sequence[int] | torch.Tensor,
    percentiles: Sequence[tuple[float, float]] = WEBVID_PERCENTILES,
) -> torch.Tensor:
    """The affinity that training gives to frames at these distances, [..., F] float32 in [0.2, 1], 1 at the condition
    frame.

    `distances`: [F] or [B, F] of `frame_distances`; `condition_frame`: 0..F-1, or one for each of B clips.
    `percentiles`: (low, high) of the distance, one pair per number of frames between a frame and the condition frame;
    the last pair holds beyond the end. A distance d below low counts as low, above high as 0.95 * high; the affinity is
    1 - 0.8 * d / high (open-mmlab/PIA, util.py `prepare_mask_coef_by_score`).
    """
    start = torch.as_tensor(condition_frame, device=distances.device).unsqueeze(-1)
    apart = (torch.arange(distances.shape[-1], device=distances.device) - start).abs()
    table = torch.tensor(percentiles, dtype=torch.float64, device=distances.device)
    low, high = table[apart.clamp(max=len(table) - 1)].unbind(-1)
    distances = distances.double()
    clipped = torch.where(distances > high, high * BEYOND_PERCENTILE, torch.maximum(distances, low))
    scores = 1 - AFFINITY_RANGE * clipped / (high + _EPSILON)
    return torch.where(apart == 0, 1.0, scores).float()


def affinity_of_clip(
    frames: Any, condition_frame: int = 0, percentiles: Sequence[tuple[float, float]] = WEBVID_PERCENTILES
) -> torch.Tensor:
    """The affinity that training would give to each frame of a clip, [F] float32 in [0.2, 1], 1 at the condition frame.

    Frames should be as far apart in time as training's: 4 frames of a video.
    """
    distances = frame_distances(frames, condition_frame)
    return scaled_affinity(distances, frame_index(condition_frame, len(distances)), percentiles)
