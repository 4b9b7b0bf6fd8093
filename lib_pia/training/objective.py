"""What the trainer eats (`ClipBatch`), the seeded draws that make sample number n the same in every run, and the
training example made of both: what goes into the UNet and what it must answer (paper, section 3.3; upstream train.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from lib_pia.errors import TrainingError

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
        return ClipBatch(
            **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in dataclasses.fields(self)}
        )


ClipSource = Callable[[int, int], ClipBatch]
"""`clips(first, count)` gives samples number first .. first + count - 1 of an endless sequence. It must be a pure
function of the numbers: this is what makes a resumed run equal an uninterrupted one, and several processes equal
one."""

TRAINER, SOURCE = 0, 1


def draw(seed: int, number: int, purpose: int = SOURCE) -> np.random.Generator:
    """The random numbers of sample `number`: independent of every other sample, of the machine and of the number of
    processes."""
    return np.random.default_rng([seed, number, purpose])


@dataclasses.dataclass
class Draws:
    """What the trainer draws for a batch. timestep [B] int64; noise like the latents; drop_condition, drop_text,
    pure_noise [B] bool."""

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
    moved = [
        int(rng.integers(noisiest, steps)) if rng.random() < config.noisiest_share else t
        for rng, t in zip(rngs, timesteps)
    ]
    pure = [t >= noisiest and rng.random() < config.pure_noise for rng, t in zip(rngs, moved)]
    return Draws(torch.tensor(moved), noise, dropped[:, 0], dropped[:, 1], torch.tensor(pure))


@dataclasses.dataclass
class Example:
    """Rows are B*F, frame fastest. noisy [B*F, 4, h, w]; noise [B*F, 4, h, w], what the UNet must answer; timestep
    [B*F]; text [B*F, T, D]; condition [B*F, 5, h, w]; weight [B], the loss weight of each clip."""

    noisy: Tensor
    noise: Tensor
    timestep: Tensor
    text: Tensor
    condition: Tensor
    weight: Tensor


def check_batch(batch: ClipBatch) -> None:
    """TrainingError where the shapes of a ClipBatch do not fit together."""
    b, f = batch.latents.shape[:2]
    if batch.latents.ndim != 5 or batch.latents.shape[2] != 4:
        raise TrainingError(
            f"latents have the shape {list(batch.latents.shape)}; they must be [clips, frames, 4, height, width]."
        )
    if list(batch.affinity.shape) != [b, f]:
        raise TrainingError(
            f"affinity has the shape {list(batch.affinity.shape)}; it must be [clips, frames] = [{b}, {f}]."
        )
    if batch.text.ndim != 3 or len(batch.text) != b or batch.null_text.shape != batch.text.shape[1:]:
        raise TrainingError(
            f"text and null_text have the shapes {list(batch.text.shape)} and {list(batch.null_text.shape)}; "
            f"they must be [{b}, tokens, width] and [tokens, width]."
        )
    frame = batch.condition_frame
    if list(frame.shape) != [b] or int(frame.min()) < 0 or int(frame.max()) >= f:
        raise TrainingError(f"condition_frame is {frame.tolist()}; it must be {b} numbers from 0 to {f - 1}.")


def affinity_as_trained(affinity: Tensor, condition_frame: Tensor, mode: str) -> Tensor:
    """The affinity [B, F] that the network sees: itself, or one of the paper's ablations ("onehot", "none")."""
    if mode == "similarity":
        return affinity
    hint = torch.zeros_like(affinity)
    return hint.scatter_(1, condition_frame[:, None], 1.0) if mode == "onehot" else hint


def clip_conditions(batch: ClipBatch, drop: Tensor, mode: str) -> Tensor:
    """[B*F, 5, h, w]: affinity map, then the condition frame's latent, the same for every frame; all zero where `drop`
    [B] says so."""
    b, f, _, h, w = batch.latents.shape
    affinity = affinity_as_trained(batch.affinity, batch.condition_frame, mode).to(batch.latents.dtype)
    image = batch.latents[torch.arange(b, device=batch.latents.device), batch.condition_frame]  # [B, 4, h, w]
    condition = torch.cat(
        [repeat(affinity, "b f -> b f 1 h w", h=h, w=w), repeat(image, "b c h w -> b f c h w", f=f)], dim=2
    )
    return rearrange(condition * ~drop[:, None, None, None, None], "b f c h w -> (b f) c h w")


def noised(latents: Tensor, noise: Tensor, alpha: Tensor, pure: Tensor) -> tuple[Tensor, Tensor]:
    """Noised latents, and the noise that the UNet must answer. Where `pure`, nothing of the latents is left, and the
    answer is the one that leads to them all the same. alpha (alphas_cumprod) and pure broadcast to the latents."""
    signal = alpha.sqrt() * latents
    noisy = torch.where(pure, noise, signal + (1 - alpha).sqrt() * noise)
    return noisy, torch.where(pure, (noise - signal) / (1 - alpha).sqrt(), noise)


def make_example(batch: ClipBatch, draws: Draws, alphas_cumprod: Tensor, config: TrainConfig) -> Example:
    """Noise the clips and build their conditions. In stage "motion" every condition is dropped."""
    f = batch.latents.shape[1]
    device = batch.latents.device
    timestep, noise = draws.timestep.to(device), draws.noise.to(device)
    drop = torch.ones_like(draws.drop_condition) if config.stage == "motion" else draws.drop_condition
    alpha = alphas_cumprod[timestep]  # [B]
    scale = alpha[:, None, None, None, None]
    noisy, noise = noised(batch.latents, noise, scale, draws.pure_noise.to(device)[:, None, None, None, None])
    text = torch.where(draws.drop_text.to(device)[:, None, None], batch.null_text[None], batch.text)
    return Example(
        noisy=rearrange(noisy, "b f c h w -> (b f) c h w"),
        noise=rearrange(noise, "b f c h w -> (b f) c h w"),
        timestep=repeat(timestep, "b -> (b f)", f=f),
        text=repeat(text, "b t d -> (b f) t d", f=f),
        condition=clip_conditions(batch, drop.to(device), config.affinity_mode),
        weight=(1 / alpha).clamp(max=config.high_noise_weight),
    )


def eps_loss(predicted: Tensor, example: Example) -> Tensor:
    """Mean squared error of the predicted noise, weighted per clip."""
    error = rearrange(
        (predicted.float() - example.noise.float()) ** 2, "(b f) c h w -> b (f c h w)", b=len(example.weight)
    )
    return (error.mean(dim=1) * example.weight).mean()
