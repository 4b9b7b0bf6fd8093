"""Personalised versions of the base: one LoRA per style, trained on pictures of that style; PIA never sees them in training."""

import numpy as np
import torch
from torch import nn

from . import lora
from .base import STRAIGHT, Ema, picture_loss, picture_pool, schedules
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
    held = hold_lora(model.unet)
    optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, 0.99), weight_decay=0, foreach=True)
    ema, both = Ema(trained, 0.98), schedules()
    with quick_attention():
        for step in run.steps(steps, unet=model.unet, optimizer=optimizer, ema=ema):
            for group in optimizer.param_groups:
                group["lr"] = rate * cosine(step, steps, warmup=20)
            rows = torch.randint(len(pool.captions), (batch,))
            loss = picture_loss(model, pool.latents[rows], [pool.captions[i] for i in rows.tolist()], both, STRAIGHT.emphasis)
            optimizer.zero_grad()
            loss.backward()
            held.gradients()
            norm = nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            held.values()
            ema.update(step)
            run.log(step, loss=loss.item(), grad_norm=norm.item())
    ema.copy_to()
