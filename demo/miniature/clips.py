"""Clips as training eats them: latents, captions, and frame distances by the training's own measure, made once and kept
in a file."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from lib_pia.affinity import frame_distances
from lib_pia.training import AffinityScale, ClipBatch, draw

from .net import Miniature
from .scenes import FRAMES, random_clip
from .vae import AutoencoderKL, autocast, to_signed

UNNAMED = (
    0.25  # share of clips in looks of their own (scenes.random_look): what personalised models draw is not flat either
)
# Share of clips in a look of their own that turns into what the caption says: where affinity is low, the picture gives
# way to what the model draws for the text (the paper's style transfer).
FADING = 0.12
TWO = 0.2  # share of the other clips that have two figures
MOTION_ONLY = (
    0.25  # share of samples whose text is "moving left" alone: what the picture shows must then come from the picture
)
FIRST = 0.6  # share of samples conditioned on the clip's first frame, the usual case; the others on any
CONDITION_FRAMES = 4  # condition frames, the first among them, for which the distances of a clip are kept


@dataclasses.dataclass
class ClipPool:
    """N clips: scaled latents [N, F, 4, 8, 8], captions, K condition frames [N, K], the distances from them [N, K, F],
    and the first frame [N] that shows what the caption says."""

    latents: torch.Tensor
    captions: list[str]
    condition_frames: torch.Tensor
    distances: torch.Tensor
    settled: torch.Tensor

    def save(self, path: Path) -> None:
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "ClipPool":
        return cls(**torch.load(path, weights_only=True))

    def scale(self) -> AffinityScale:
        """The percentiles of the clips that keep their look: a look that fades is farther away than any motion, which
        would all get an affinity near 1 beside it."""
        kept = self.settled == 0
        pairs = zip(self.distances[kept].flatten(0, 1), self.condition_frames[kept].flatten().tolist())
        return AffinityScale.measure(pairs)


@torch.no_grad()
def clip_pool(vae: AutoencoderKL, seed: int, count: int, style: str = "flat", distances: bool = True) -> ClipPool:
    """Render, encode and measure `count` clips; without `distances` one random frame of each and no measure (for
    pictures)."""
    rng = np.random.default_rng(seed)
    kinds = {"two": TWO, "unnamed": UNNAMED, "fading": FADING} if style == "flat" else {}
    parts: list[tuple] = []
    for _ in range(count):
        clip = random_clip(rng, style, **kinds)
        shown = slice(None) if distances else [int(rng.integers(FRAMES))]
        with autocast():
            latents = vae.encode(to_signed(torch.from_numpy(clip.frames[shown]).permute(0, 3, 1, 2))).float()
        others = rng.choice(FRAMES - 1, CONDITION_FRAMES - 1, replace=False) + 1
        kept = [0, *(others * (clip.settled == 0)).tolist()]  # a look is known from a frame before it fades
        measured = (
            [frame_distances(clip.frames, frame, None) for frame in kept]
            if distances
            else [torch.zeros(FRAMES)] * len(kept)
        )
        parts.append((latents, clip.caption, torch.tensor(kept), torch.stack(measured), torch.tensor(clip.settled)))
    latents, captions, kept, measured, settled = zip(*parts)
    return ClipPool(torch.stack(latents), list(captions), *map(torch.stack, (kept, measured, settled)))


@torch.no_grad()
def encode_all(model: Miniature, texts: list[str]) -> torch.Tensor:
    """The encodings [N, 77, D] of texts, each different one encoded once."""
    different = list(dict.fromkeys(texts))
    encoded = torch.cat([model.encode_text(different[i : i + 64]) for i in range(0, len(different), 64)])
    return encoded[torch.tensor([different.index(text) for text in texts])]


class PoolSource:
    """A `ClipSource` over a pool: sample number n is always the same clip with the same condition frame."""

    def __init__(self, pool: ClipPool, model: Miniature, seed: int):
        self.pool, self.scale, self.seed = pool, pool.scale(), seed
        self.text = encode_all(model, pool.captions)
        fades = pool.settled > 0  # what a look turns into is told by the whole caption only
        short = [caption if fade else caption.split(", ", 1)[-1] for caption, fade in zip(pool.captions, fades)]
        self.motion_text = encode_all(model, short)
        self.null_text = encode_all(model, [""])[0]

    def __call__(self, first: int, count: int) -> ClipBatch:
        rngs = [draw(self.seed, n) for n in range(first, first + count)]
        clips = torch.tensor([int(rng.integers(len(self.text))) for rng in rngs])
        kept = torch.tensor([0 if rng.random() < FIRST else int(rng.integers(CONDITION_FRAMES)) for rng in rngs])
        motion_only = torch.tensor([rng.random() < MOTION_ONLY for rng in rngs])
        text = torch.where(motion_only[:, None, None], self.motion_text[clips], self.text[clips])
        condition = self.pool.condition_frames[clips, kept]
        affinity = self.scale.affinity(self.pool.distances[clips, kept], condition)
        return ClipBatch(self.pool.latents[clips], text, self.null_text, affinity, condition)
