"""Personalised versions of the base: one LoRA per style, trained on pictures of that style; PIA never sees them in training."""

import numpy as np
import torch

from . import lora
from .base import STRAIGHT, Descent, drawn_loss, picture_pool, schedules
from .fast import quick_attention
from .net import Miniature
from .shapes import STYLES
from .through import hold_lora
from .training_log import Run, cosine

PERSONALISED = tuple(style for style in STYLES if style != "flat")
SHIPPED = ("outline", "palette", "stripes", "cross")  # all six would be over 25 MB with the rest


def train(model: Miniature, run: Run, style: str, steps: int, batch: int = 32, rate: float = 3e-3) -> None:
    """Train a LoRA of `style` on the model's UNet, which has a straight way for x_t; it stays attached (`lora.save` writes it)."""
    seed = 100 + STYLES.index(style)
    torch.manual_seed(seed)
    pool = picture_pool(model, np.random.default_rng(seed), 2500, style)
    trained = lora.attach(model.unet)
    for parameter in trained:
        parameter.requires_grad_(True)
    descent, both = Descent(trained, rate, 0.98, weight_decay=0.0, held=hold_lora(model.unet)), schedules()
    with quick_attention():
        for step in run.steps(steps, unet=model.unet, **descent.parts()):
            loss = drawn_loss(model, pool, batch, both, STRAIGHT.emphasis)
            run.log(step, **descent.step(loss, step, cosine(step, steps, warmup=20)))
    descent.finish()
