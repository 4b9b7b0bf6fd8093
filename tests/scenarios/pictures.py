"""Pictures for requests, and what came back as pictures. The same bytes every time."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64


def picture(size: int = SIZE, turn: int = 0) -> Image.Image:
    """A gradient with a red square, as the miniature's scenes have shapes on grounds."""
    y, x = np.mgrid[0:size, 0:size]
    values = np.stack([x * 255 // size, y * 255 // size, np.full_like(x, 128)], axis=-1).astype(np.uint8)
    values[size // 4 : size // 2, size // 4 : size // 2] = (255, 30, 30)
    return Image.fromarray(np.rot90(values, turn).copy())


def square_mask() -> Image.Image:
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(255, (16, 16, 48, 48))
    return mask


def encoded(image: Image.Image | Path) -> str:
    """A picture, or a file, as the API takes it."""
    if isinstance(image, Path):
        return base64.b64encode(image.read_bytes()).decode()
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def pixels(text: str) -> bytes:
    return opened(text).convert("RGB").tobytes()


def frames(answer: dict) -> np.ndarray:
    """The frames of an answer of PNG files: [F, H, W, 3] int."""
    return np.stack([np.asarray(opened(text).convert("RGB")) for text in answer["images"]]).astype(int)


def moving(text: str) -> list[Image.Image]:
    """All frames of one GIF, WebP or APNG."""
    image, out = opened(text), []
    for index in range(image.n_frames):
        image.seek(index)
        out.append(image.convert("RGB"))
    return out
