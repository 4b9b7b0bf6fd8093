"""Clips as PIA's training eats them: latents, captions, and frame distances by the training's own measure, made once and kept in a file."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from lib_pia.affinity import frame_distances
from lib_pia.training import AffinityScale, ClipBatch, draw

from .fast import autocast
from .net import Miniature
from .scenes import FRAMES, random_clip
from .vae import AutoencoderKL, to_signed

CONDITION_FRAMES = 4  # condition frames for which the distances of a clip are kept
SIZE = None  # the distances are measured on the 64 px frames as they are


@dataclasses.dataclass
class ClipPool:
    """N clips: scaled latents [N, F, 4, 8, 8], captions, and for some condition frames [N, K] the distances [N, K, F]."""

    latents: torch.Tensor
    captions: list[str]
    condition_frames: torch.Tensor
    distances: torch.Tensor

    def save(self, path: Path) -> None:
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "ClipPool":
        return cls(**torch.load(path, weights_only=True))

    def scale(self) -> AffinityScale:
        """The data set's percentiles."""
        n, k, _ = self.distances.shape
        return AffinityScale.measure((self.distances[i, j], int(self.condition_frames[i, j])) for i in range(n) for j in range(k))


@torch.no_grad()
def clip_pool(vae: AutoencoderKL, seed: int, count: int) -> ClipPool:
    """Render, encode and measure `count` clips."""
    rng = np.random.default_rng(seed)
    latents, captions, frames, distances = [], [], [], []
    for _ in range(count):
        clip = random_clip(rng)
        pictures = to_signed(torch.from_numpy(clip.frames).permute(0, 3, 1, 2))
        with autocast():
            latents.append(vae.encode(pictures).float())
        chosen = rng.choice(FRAMES, CONDITION_FRAMES, replace=False)
        captions.append(clip.caption)
        frames.append(torch.from_numpy(chosen))
        distances.append(torch.stack([frame_distances(clip.frames, int(c), SIZE).float() for c in chosen]))
    return ClipPool(torch.stack(latents), captions, torch.stack(frames), torch.stack(distances))


class PoolSource:
    """A `ClipSource` over a pool: sample number n is always the same clip with the same condition frame."""

    def __init__(self, pool: ClipPool, model: Miniature, scale: AffinityScale, seed: int):
        self.pool, self.scale, self.seed = pool, scale, seed
        with torch.no_grad():
            parts = [model.encode_text(pool.captions[i : i + 64]) for i in range(0, len(pool.captions), 64)]
            self.text, self.null_text = torch.cat(parts), model.encode_text([""])[0]

    def __call__(self, first: int, count: int) -> ClipBatch:
        rngs = [draw(self.seed, n) for n in range(first, first + count)]
        clips = torch.tensor([int(rng.integers(len(self.text))) for rng in rngs])
        kept = torch.tensor([int(rng.integers(CONDITION_FRAMES)) for rng in rngs])
        condition = self.pool.condition_frames[clips, kept]
        affinity = self.scale.affinity(self.pool.distances[clips, kept], condition)
        return ClipBatch(self.pool.latents[clips], self.text[clips], self.null_text, affinity, condition)
