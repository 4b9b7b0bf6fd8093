"""What is measured of a clip, and the paper's own figures."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from .clip_features import ClipFeatures

CLIPSCORE_WEIGHT, CLIPSCORE_PREFIX = 2.5, "A photo depicts "  # Hessel et al. 2021 (arXiv 2104.08718), section 3


@dataclasses.dataclass(frozen=True)
class Measure:
    """One column of the results."""

    key: str
    title: str
    text: str
    decimals: int = 2


MEASURES = (
    Measure(
        "image_alignment", "image alignment", "100 x cosine of CLIP's features of frame and picture, mean over frames"
    ),
    Measure(
        "text_alignment", "text alignment", "100 x cosine of CLIP's features of frame and prompt, mean over frames"
    ),
    Measure("clip_score", "CLIPScore (text)", '100 x 2.5 x max(cosine, 0) of frame and "A photo depicts " + prompt'),
    Measure(
        "warp_error", "warp error", "% of full scale: next frame, moved back by the optical flow, against the frame"
    ),
    Measure("frame_difference", "frame difference", "% of full scale: mean change of a pixel from frame to frame"),
    Measure(
        "flicker", "flicker", "grey levels of 255: how far a frame's brightness is off the middle of its neighbours'"
    ),
    Measure("motion", "motion per frame", "px: mean length of the optical flow from frame to frame"),
)
CLIP_KEYS = ("image_alignment", "text_alignment", "clip_score")
FLOW_KEYS = ("warp_error", "motion")

# PIA (arXiv 2312.13964), table 1, AnimateBench: image and text alignment. The paper does not say how the text figures
# were scaled; they fit 2.5 x cosine (68.74 = 250 x 0.275) and the image figures plain cosines, so they stand beside
# CLIPScore and the image alignment.
PAPER = {
    "VideoComposer": {"image_alignment": 90.10, "clip_score": 66.17},
    "AnimateDiff": {"image_alignment": 89.72, "clip_score": 68.41},
    "PIA": {"image_alignment": 93.44, "clip_score": 68.74},
}
PAPER_CLIPS = 105  # section 5: 7 models, 5 pictures each, 3 prompts each
PAPER_NOTE = (
    'Columns "paper: ..." are the figures that the paper prints (arXiv 2312.13964, table 1), for its own models and '
    "clips. It does not say how its text figures were scaled; they fit 2.5 x cosine, so they stand beside CLIPScore. "
    "This is inferred."
)


def clip_measures(features: ClipFeatures, frames: np.ndarray, picture: Image.Image, prompt: str) -> dict[str, float]:
    """`CLIP_KEYS` of one clip, frames [F, H, W, 3] uint8."""
    seen = features.pictures(frames)  # [F, D]
    plain, prefixed = features.texts([prompt, CLIPSCORE_PREFIX + prompt])
    to_picture = seen @ features.pictures([picture])[0]
    return {
        "image_alignment": 100 * float(to_picture.mean()),
        "text_alignment": 100 * float((seen @ plain).mean()),
        "clip_score": 100 * CLIPSCORE_WEIGHT * float((seen @ prefixed).clamp(min=0).mean()),
    }


def pixel_measures(frames: np.ndarray) -> dict[str, float | None]:
    """What needs no CLIP, of frames [F, H, W, 3] uint8 (F >= 2); `FLOW_KEYS` are None without OpenCV."""
    clip = frames.astype(np.float32)
    brightness = clip.mean(axis=(1, 2, 3))
    middle = (brightness[2:] + brightness[:-2]) / 2
    flows = _flows(frames)
    return {
        "warp_error": None if flows is None else _warp_error(clip, flows),
        "frame_difference": 100 / 255 * float(np.abs(np.diff(clip, axis=0)).mean()),
        "flicker": float(np.abs(brightness[1:-1] - middle).mean()) if len(clip) > 2 else 0.0,
        "motion": None if flows is None else float(np.linalg.norm(flows, axis=-1).mean()),
    }


def _flows(frames: np.ndarray) -> np.ndarray | None:
    """Optical flow from each frame to the next, [F-1, H, W, 2] px (x, y), by Farneback; None without OpenCV."""
    try:
        import cv2
    except ImportError:
        return None
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    settings = {
        "pyr_scale": 0.5,
        "levels": 4,
        "winsize": 15,
        "iterations": 3,
        "poly_n": 5,
        "poly_sigma": 1.1,
        "flags": 0,
    }
    return np.stack([cv2.calcOpticalFlowFarneback(a, b, None, **settings) for a, b in zip(grey, grey[1:])])


def _warp_error(clip: np.ndarray, flows: np.ndarray) -> float:
    """Mean over the pixels whose way does not leave the picture, % of full scale."""
    import cv2

    height, width = clip.shape[1:3]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    errors = []
    for before, after, flow in zip(clip, clip[1:], flows):
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        moved = cv2.remap(after, x, y, cv2.INTER_LINEAR)
        errors.append(np.abs(moved - before)[inside].mean() if inside.any() else 0.0)
    return 100 / 255 * float(np.mean(errors))
