"""What training compares of two frames: hue, saturation, value and dilated edges.

The measure is the one of open-mmlab/PIA (animatediff/data/dataset.py `get_score`, animatediff/utils/util.py
`detect_edges`), which computes it with OpenCV. OpenCV is no dependency here, so its float HSV conversion and its Canny
detector are written out; the tests hold values that OpenCV computed.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

TRAINED_SIZE = 256  # px, sample_size of dataset.py `WebVid10M` and example/config/train.yaml
EDGE_SIGMA = 1.0 / 3.0  # util.py `detect_edges`: thresholds are the median of V times 1 -+ sigma
_EPSILON = np.float32(np.finfo(np.float32).eps)  # FLT_EPSILON, by which OpenCV avoids the divisions by zero
_TAN_22 = 13573  # tan(22.5 deg) * 2**15, rounded: OpenCV's border between the gradient directions
_TAN_SHIFT = 15


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


def hsv(frames: np.ndarray) -> np.ndarray:
    """[..., 3] RGB 0..255 -> [..., 3] float32: hue 0..360, saturation 0..1, value 0..255, as OpenCV's float RGB2HSV."""
    rgb = np.asarray(frames, dtype=np.float32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = rgb.max(-1)
    spread = value - rgb.min(-1)
    scale = np.float32(60) / (spread + _EPSILON)
    hue = np.where(
        value == red,
        (green - blue) * scale,
        np.where(value == green, (blue - red) * scale + 120, (red - green) * scale + 240),
    )
    hue = np.where(hue < 0, hue + 360, hue)
    return np.stack([hue, spread / (value + _EPSILON), value], -1).astype(np.float32)


def edges(luminance: np.ndarray) -> np.ndarray:
    """Dilated Canny edges: [F, H, W] uint8 -> [F, H, W] uint8, 255 on and near an edge, else 0 (util.py
    `detect_edges`)."""
    found = np.stack([canny(frame, *edge_thresholds(frame)) for frame in luminance])
    kernel = edge_kernel(*luminance.shape[1:])
    spread = F.max_pool2d(torch.from_numpy(found).float().unsqueeze(1), kernel, stride=1, padding=kernel // 2)
    return (spread.squeeze(1).numpy() * 255).astype(np.uint8)


def edge_thresholds(luminance: np.ndarray) -> tuple[int, int]:
    """Canny's low and high threshold for one [H, W] uint8 frame."""
    median = float(np.median(luminance))
    return int(max(0, (1 - EDGE_SIGMA) * median)), int(min(255, (1 + EDGE_SIGMA) * median))


def edge_kernel(height: int, width: int) -> int:
    """Side of the dilating square, px, always odd (util.py `estimated_kernel_size`)."""
    size = 4 + round((width * height) ** 0.5 / 192)
    return size + 1 - size % 2


def canny(luminance: np.ndarray, low: int, high: int) -> np.ndarray:
    """Edges of one [H, W] uint8 frame as [H, W] bool: 3x3 Sobel, |dx| + |dy|, thinning along the gradient,
    hysteresis."""
    padded = np.pad(luminance.astype(np.int32), 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    dx = rows[:, 2:] - rows[:, :-2]
    columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    dy = columns[2:] - columns[:-2]
    strength = np.abs(dx) + np.abs(dy)
    thin = _thinned(strength, dx, dy) & (strength > low)
    return _connected(thin & (strength > high), thin)


def _thinned(strength: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Where the gradient is strongest along its own direction (rounded to 45 degrees); outside the picture it is 0."""
    around = np.pad(strength, 1)
    height, width = strength.shape

    def at(down: int, right: int) -> np.ndarray:
        return around[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    across, along = np.abs(dx).astype(np.int64), np.abs(dy).astype(np.int64) << _TAN_SHIFT
    flat = across * _TAN_22
    steep = flat + (across << (_TAN_SHIFT + 1))
    horizontal = (strength > at(0, -1)) & (strength >= at(0, 1))
    vertical = (strength > at(-1, 0)) & (strength >= at(1, 0))
    falling = (strength > at(-1, -1)) & (strength > at(1, 1))
    rising = (strength > at(-1, 1)) & (strength > at(1, -1))
    diagonal = np.where((dx ^ dy) < 0, rising, falling)
    return np.where(along < flat, horizontal, np.where(along > steep, vertical, diagonal))


def _connected(seeds: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """All pixels of `allowed` (bool [H, W]) that touch `seeds` through `allowed` ones, diagonals included."""
    waiting = np.pad(allowed & ~seeds, 1)
    stride = waiting.shape[1]
    waiting = waiting.ravel()
    offsets = np.array([-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1])
    reached = np.pad(seeds, 1).ravel()
    front = np.flatnonzero(reached)
    while front.size:
        beside = (front[:, None] + offsets).ravel()
        front = np.unique(beside[waiting[beside]])
        waiting[front] = False
        reached[front] = True
    return reached.reshape(-1, stride)[1:-1, 1:-1]


def measured_channels(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[F, H, W, 3] RGB 0..255 -> hue, saturation, value [F, H, W, 3] float32, and edges [F, H, W] uint8 (0 or 255)."""
    colors = hsv(frames)
    return colors, edges(colors[..., 2].astype(np.uint8))
