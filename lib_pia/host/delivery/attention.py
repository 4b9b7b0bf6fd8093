"""The files of `attention_of`: a heat clip and the numbers behind it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from lib_pia.attention_map import heat_frames
from lib_pia.files import replacing
from lib_pia.video import ClipFile, ClipOptions, encode_clip

ATTENTION_CLIP, ATTENTION_NUMBERS = "attention.mp4", "attention.npz"
WORD_BYTES, NAME_BYTES = 40, 190  # of the word and of the clip's name in a file name, which may have 255 at most


def write_attention(
    frames: Sequence[Image.Image], maps: Tensor, word: str, path: Path, fps: float
) -> dict[str, ClipFile]:
    """Writes `path`_attention_WORD.mp4 and .npz (`attention` [F, h, w] float32, `word`); the files by their format in
    info["pia"]. Raises HostError and OSError."""
    name = _cut(re.sub(r"[^\w-]+", "_", word), WORD_BYTES)
    stem = path.with_name(f"{_cut(path.name, NAME_BYTES)}_attention_{name}")
    heat = heat_frames(np.stack([np.asarray(frame) for frame in frames]), maps)
    files = encode_clip(heat, stem, ["mp4"], ClipOptions(fps=fps))
    if not files:
        raise files.errors["mp4"]
    numbers = stem.with_name(f"{stem.name}.npz")
    with replacing(numbers) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, attention=maps.numpy(), word=word)
    described = dataclasses.replace(files[0], paths=(numbers,), mime="application/x-npz")
    return {ATTENTION_CLIP: files[0], ATTENTION_NUMBERS: described}


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
