"""A narrow UNet and two clips for the tests of training."""

from __future__ import annotations

import torch

from lib_pia.training import ClipBatch, TrainConfig, Trainer, draw, fresh_model
from tests.tiny_models import build_unet

FRAMES, HEIGHT, WIDTH, TOKENS, TEXT = 3, 16, 8, 5, 8  # latent height and width: 2x1 at the deepest level


def toy_unet(seed: int = 7):
    """LDM UNet of width 32 on every level whose output depends on everything (LDM starts its last layers at zero)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = build_unet(width=32, channel_mult=(1, 1, 1, 1), context_dim=TEXT)
        for parameter in unet.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
    return unet


def toy_clips(first: int, count: int, width: int = WIDTH) -> ClipBatch:
    """Sample n is clip n % 2; its condition frame and affinity are drawn from its number."""
    rng = torch.Generator().manual_seed(3)
    still = torch.randn(2, 1, 4, HEIGHT, width, generator=rng)
    latents = still + 0.3 * torch.randn(2, FRAMES, 4, HEIGHT, width, generator=rng)
    text = torch.randn(2, TOKENS, TEXT, generator=rng)
    which = [number % 2 for number in range(first, first + count)]
    frame = torch.tensor([int(draw(5, number).integers(FRAMES)) for number in range(first, first + count)])
    affinity = torch.full((count, FRAMES), 0.6).scatter_(1, frame[:, None], 1.0)
    return ClipBatch(latents[which], text[which], torch.zeros(TOKENS, TEXT), affinity, frame)


def square_clips(first: int, count: int) -> ClipBatch:
    """Toy clips with 2x2 at the deepest level, where the norms over two values of `toy_clips` magnify rounding
    errors."""
    return toy_clips(first, count, HEIGHT)


def toy_trainer(clips=toy_clips, **options) -> Trainer:
    unet = toy_unet()
    config = TrainConfig(**{"steps": 4, "batch_size": 2, "learning_rate": 3e-3, "save_every": 2, **options})
    return Trainer(unet, fresh_model(unet), config, clips)


def tensors_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}
