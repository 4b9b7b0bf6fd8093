"""Personalised versions of the base: one LoRA per style, trained on pictures of that style; PIA never sees them in training."""

import torch

from . import lora
from .base import Descent, Pictures
from .clips import clip_pool
from .net import Miniature
from .shapes import STYLES
from .through import hold_lora
from .training_log import Run

PERSONALISED = tuple(style for style in STYLES if style != "flat")
PICTURES = 1500  # per style


def train(model: Miniature, run: Run, style: str, steps: int, batch: int = 32, rate: float = 3e-3) -> None:
    """Train a LoRA of `style` on the model's UNet, which has a straight way for x_t; it stays attached (`lora.save` writes it)."""
    seed = 100 + STYLES.index(style)
    torch.manual_seed(seed)
    pictures = Pictures.of(clip_pool(model.vae, seed, PICTURES, style, distances=False), model)
    trained = lora.attach(model.unet)
    for parameter in trained:
        parameter.requires_grad_(True)
    Descent(trained, rate, 0.98, hold_lora(model.unet)).train(run, steps, model.unet, pictures, batch)
