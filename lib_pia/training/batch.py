"""What the trainer eats: `ClipBatch`, and the seeded draws that make sample number n the same in every run."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .config import TrainConfig


@dataclasses.dataclass
class ClipBatch:
    """B training clips of F frames.

    latents: [B, F, 4, h, w], VAE latents times 0.18215.
    text: [B, T, D], the caption's encoding (T = 77 in SD1.5). null_text: [T, D], the empty text's.
    affinity: [B, F] in [0, 1], 1 at the condition frame. condition_frame: [B] int64 in [0, F).
    """

    latents: Tensor
    text: Tensor
    null_text: Tensor
    affinity: Tensor
    condition_frame: Tensor

    def to(self, device: torch.device | str) -> ClipBatch:
        return ClipBatch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in dataclasses.fields(self)})


ClipSource = Callable[[int, int], ClipBatch]
"""`clips(first, count)` gives samples number first .. first + count - 1 of an endless sequence. It must be a pure function of the numbers:
this is what makes a resumed run equal an uninterrupted one, and several processes equal one."""

TRAINER, SOURCE = 0, 1


def draw(seed: int, number: int, purpose: int = SOURCE) -> np.random.Generator:
    """The random numbers of sample `number`: independent of every other sample, of the machine and of the number of processes."""
    return np.random.default_rng([seed, number, purpose])


@dataclasses.dataclass
class Draws:
    """What the trainer draws for a batch. timestep [B] int64; noise like the latents; drop_condition, drop_text, pure_noise [B] bool."""

    timestep: Tensor
    noise: Tensor
    drop_condition: Tensor
    drop_text: Tensor
    pure_noise: Tensor


def training_draws(config: TrainConfig, first: int, shape: tuple[int, ...], steps: int = 1000) -> Draws:
    """Draws for samples first .. first + B - 1, on the CPU. shape: of the latents, [B, F, 4, h, w].
    One timestep per clip, as upstream's train.py; the noise is independent per frame."""
    rngs = [draw(config.seed, first + b, TRAINER) for b in range(shape[0])]
    noisiest = steps - steps // 10
    timesteps = [int(rng.integers(steps)) for rng in rngs]
    dropped = torch.tensor([[rng.random() < config.drop_condition, rng.random() < config.drop_text] for rng in rngs])
    noise = torch.stack([torch.from_numpy(rng.standard_normal(shape[1:], dtype=np.float32)) for rng in rngs])
    moved = [int(rng.integers(noisiest, steps)) if rng.random() < config.noisiest_share else t for rng, t in zip(rngs, timesteps)]
    pure = [t >= noisiest and rng.random() < config.pure_noise for rng, t in zip(rngs, moved)]
    return Draws(torch.tensor(moved), noise, dropped[:, 0], dropped[:, 1], torch.tensor(pure))
