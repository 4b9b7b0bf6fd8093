"""A plain DDIM sampler for the miniature: pictures from text, and clips through `lib_pia.injection.inject`."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from lib_pia.condition import build_condition
from lib_pia.injection import inject
from lib_pia.model import PIAModel
from lib_pia.schedule import linear_alphas_cumprod

from .net import Miniature, base_alphas_cumprod
from .scenes import FRAMES
from .vae import autocast, to_signed

LATENT = 8  # side of the latents of a 64 px picture


@dataclass(frozen=True)
class Sampling:
    """DDIM steps, classifier-free guidance scale, and the seed of the first picture or clip (the next ones count
    up)."""

    steps: int = 25
    scale: float = 5.0
    seed: int = 0


def starting_noise(seeds: list[int], frames: int) -> torch.Tensor:
    """Noise [len(seeds) * frames, 4, 8, 8], independent per frame, the same for a seed whatever stands beside it."""
    draws = [torch.randn(frames, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(draws)


@torch.no_grad()
def ddim(
    model: Miniature, noise: torch.Tensor, texts: torch.Tensor, alphas: torch.Tensor, sampling: Sampling
) -> torch.Tensor:
    """Scaled latents of `noise` [N, 4, 8, 8]; `texts` [2N, 77, D], first the prompts, then the negative ones."""
    stride = len(alphas) // sampling.steps
    timesteps = [i * stride + 1 for i in reversed(range(sampling.steps))]  # PIA's sampling: leading spacing, offset 1
    x = noise
    for t in timesteps:
        now, then = alphas[t], alphas[t - stride] if t >= stride else alphas[0]
        copies = 1 if sampling.scale == 1 else 2  # without guidance the negative prompt has no say
        with autocast():
            eps = model.unet(
                torch.cat([x] * copies), torch.full((copies * len(x),), t), context=texts[: copies * len(x)]
            ).float()
        if copies == 2:
            prompted, negative = eps.chunk(2)
            eps = negative + sampling.scale * (prompted - negative)
        x = then.sqrt() * (x - (1 - now).sqrt() * eps) / now.sqrt() + (1 - then).sqrt() * eps
    return x


@torch.no_grad()
def decode(model: Miniature, latents: torch.Tensor) -> torch.Tensor:
    """Pictures [N, H, W, 3] uint8."""
    with autocast():
        pictures = torch.cat([model.vae.decode(part).float() for part in latents.split(32)])
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


@torch.no_grad()
def pictures_of(model: Miniature, prompts: list[str], sampling: Sampling) -> torch.Tensor:
    """Text to image with the model's own schedule, one picture per prompt: [N, 64, 64, 3] uint8."""
    texts = model.encode_text([*prompts, *[""] * len(prompts)])
    noise = starting_noise([sampling.seed + i for i in range(len(prompts))], 1)
    return decode(model, ddim(model, noise, texts, base_alphas_cumprod().float(), sampling))


@torch.no_grad()
def encode_picture(model: Miniature, picture: torch.Tensor) -> torch.Tensor:
    """The condition latent [1, 4, 8, 8] of a picture [64, 64, 3] uint8."""
    with autocast():
        return model.vae.encode(to_signed(picture.permute(2, 0, 1)[None])).float()


@torch.no_grad()
def clips_of(
    model: Miniature,
    pia: PIAModel | None,
    latents: torch.Tensor | None,
    prompts: list[str],
    affinities: torch.Tensor,
    sampling: Sampling,
    seeds: list[int] | None = None,
) -> torch.Tensor:
    """Clips [K, F, 64, 64, 3] uint8, sampled together; `seeds` instead of the sampling's seed and its successors.

    latents: [K, 4, 8, 8] condition latents, or None for text-to-video (zeros for image and affinity, as PIA was trained
    to take them).
    affinities: [K, F]. pia: None leaves the base as it is (frames know nothing of each other).
    """
    count = len(prompts)
    if latents is None:
        condition = torch.zeros(count * FRAMES, 5, LATENT, LATENT)
    else:
        condition = torch.cat([build_condition(latents[k : k + 1], affinities[k]) for k in range(count)])
    texts = model.encode_text([*prompts, *[""] * count]).repeat_interleave(FRAMES, 0)
    noise = starting_noise(seeds or [sampling.seed + i for i in range(count)], FRAMES)
    with inject(model.unet, pia, condition, FRAMES) if pia else nullcontext():
        out = ddim(model, noise, texts, linear_alphas_cumprod(), sampling)
    return decode(model, out).unflatten(0, (count, FRAMES))
