"""What training compares of two frames: hue, saturation, value and dilated edges, by OpenCV as training did.

The measure is the one of open-mmlab/PIA (animatediff/data/dataset.py `get_score`, animatediff/utils/util.py
`detect_edges`).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

TRAINED_SIZE = 256  # px, sample_size of dataset.py `WebVid10M` and example/config/train.yaml
EDGE_SIGMA = 1.0 / 3.0  # util.py `detect_edges`: thresholds are the median of V times 1 -+ sigma


def trained_view(frames: np.ndarray, size: int = TRAINED_SIZE) -> np.ndarray:
    """[F, H, W, 3] -> [F, size, size, 3] float32, as training sees a video: shorter side to `size` (bilinear), then the
    middle.

    Training's `Resize` does not blur before shrinking, which is harmless for WebVid's 336 lines; frames of 1024 px and
    more are first averaged over whole blocks, so that the noise of large pictures is not taken for edges.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()  # [F, 3, H, W]
    block = min(pixels.shape[-2:]) // (2 * size)
    if block > 1:
        pixels = F.avg_pool2d(pixels, block)
    height, width = pixels.shape[-2:]
    short = min(height, width)
    target = (int(size * height / short), int(size * width / short))
    if target != (height, width):
        pixels = F.interpolate(pixels, target, mode="bilinear", align_corners=False)
    top, left = round((target[0] - size) / 2), round((target[1] - size) / 2)
    return pixels[:, :, top : top + size, left : left + size].permute(0, 2, 3, 1).numpy()


def edge_thresholds(luminance: np.ndarray) -> tuple[int, int]:
    """Canny's low and high threshold for one [H, W] uint8 frame."""
    median = float(np.median(luminance))
    return int(max(0, (1 - EDGE_SIGMA) * median)), int(min(255, (1 + EDGE_SIGMA) * median))


def edge_kernel(height: int, width: int) -> int:
    """Side of the dilating square, px, always odd (util.py `estimated_kernel_size`)."""
    size = 4 + round((width * height) ** 0.5 / 192)
    return size + 1 - size % 2


def edges(luminance: np.ndarray) -> np.ndarray:
    """Dilated Canny edges of one frame: [H, W] uint8 -> [H, W] uint8, 255 on and near an edge, else 0 (util.py
    `detect_edges`)."""
    side = edge_kernel(*luminance.shape)
    return cv2.dilate(cv2.Canny(luminance, *edge_thresholds(luminance)), np.ones((side, side), np.uint8))


def hsv(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] RGB 0..255 -> [H, W, 3] float32: hue 0..360, saturation 0..1, value 0..255."""
    return cv2.cvtColor(np.ascontiguousarray(frame, dtype=np.float32), cv2.COLOR_RGB2HSV)


def distances(frames: np.ndarray, start: int) -> np.ndarray:
    """How far each of [F, H, W, 3] frames (RGB 0..255) is from frame `start`, [F] float64 >= 0.

    The mean over hue, saturation, value and edges of the mean absolute difference. The edges are bytes that wrap in
    training's code: an edge that only the frame has counts 255, one that only frame `start` has counts 1. The
    percentiles were taken with that, so it is the same here.
    """
    colors = [hsv(frame) for frame in frames]
    outlines = [edges(color[..., 2].astype(np.uint8)) for color in colors]
    moved = [cv2.norm(color, colors[start], cv2.NORM_L1) for color in colors]  # summed over pixels and channels
    redrawn = [(outline - outlines[start]).sum(dtype=np.int64) for outline in outlines]
    return (np.array(moved) + redrawn) / (4 * frames[0, ..., 0].size)
