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

MOTION_ONLY = 0.25  # share of samples whose text is "moving left" alone: what the picture shows must then come from the picture
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


@torch.no_grad()
def encode_all(model: Miniature, texts: list[str]) -> torch.Tensor:
    """The encodings [N, 77, D] of texts, each different one encoded once."""
    different = list(dict.fromkeys(texts))
    encoded = torch.cat([model.encode_text(different[i : i + 64]) for i in range(0, len(different), 64)])
    return encoded[torch.tensor([different.index(text) for text in texts])]


class PoolSource:
    """A `ClipSource` over a pool: sample number n is always the same clip with the same condition frame.

    frames: how many of a clip's 16 frames a sample has, in order, the condition frame among them.
    first: share of samples whose condition frame is the clip's first, as it mostly is in use; the others' is any, as in the paper.
    """

    def __init__(self, pool: ClipPool, model: Miniature, seed: int, frames: int = FRAMES, first: float = 0.0):
        self.pool, self.scale, self.seed, self.frames, self.first = pool, pool.scale(), seed, frames, first
        self.from_first = (pool.condition_frames == 0).nonzero().tolist()  # [clip, place among its condition frames]
        self.text = encode_all(model, pool.captions)
        self.motion_text = encode_all(model, [caption.split(", ", 1)[1] for caption in pool.captions])
        self.null_text = encode_all(model, [""])[0]

    def __call__(self, first: int, count: int) -> ClipBatch:
        rngs = [draw(self.seed, n) for n in range(first, first + count)]
        clips, kept = torch.tensor([self.pick(rng) for rng in rngs]).unbind(1)
        motion_only = torch.tensor([rng.random() < MOTION_ONLY for rng in rngs])
        text = torch.where(motion_only[:, None, None], self.motion_text[clips], self.text[clips])
        condition = self.pool.condition_frames[clips, kept]
        affinity = self.scale.affinity(self.pool.distances[clips, kept], condition)
        shown = torch.stack([self.frames_with(int(c), rng) for c, rng in zip(condition, rngs)])  # [B, frames]
        latents = self.pool.latents[clips[:, None], shown]
        return ClipBatch(latents, text, self.null_text, affinity.gather(1, shown), (shown < condition[:, None]).sum(1))

    def pick(self, rng: np.random.Generator) -> list[int]:
        """A clip, and which of its condition frames."""
        picked = [int(rng.integers(len(self.text))), int(rng.integers(CONDITION_FRAMES))]
        if self.first and rng.random() < self.first:
            return self.from_first[int(rng.integers(len(self.from_first)))]
        return picked

    def frames_with(self, condition_frame: int, rng: np.random.Generator) -> torch.Tensor:
        """Frame numbers in order: the condition frame and others drawn at random."""
        others = rng.permutation([f for f in range(FRAMES) if f != condition_frame])[: self.frames - 1]
        return torch.tensor(sorted([condition_frame, *others.tolist()]))
