"""PIA's noise schedule, and lending it to a host's model for the time of one sampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .lending import lent

STEPS = 1000  # PIA configs/inference: noise_scheduler_kwargs
BETA_START, BETA_END = 0.00085, 0.012  # the same file; beta_schedule "linear", where SD1.5 itself is "scaled_linear"


def linear_alphas_cumprod() -> Tensor:
    """Cumulative products of 1 - beta for linearly spaced betas (PIA configs/inference, `beta_schedule: linear`):
    [1000], float32."""
    betas = torch.linspace(BETA_START, BETA_END, STEPS, dtype=torch.float32)
    return torch.cumprod(1.0 - betas, dim=0)


@contextmanager
def lend_schedule(model: Any, alphas_cumprod: Tensor) -> Iterator[None]:
    """Sets `alphas_cumprod` and `alphas_cumprod_original` of `model` for the time of the block.

    The WebUI resets the first from the second before it samples, so both are lent. Afterwards both are the very objects
    that were there, or absent again if they were absent, whatever happened in between. The lent tensor takes the device
    of the one it stands in for.
    """
    before = getattr(model, "alphas_cumprod", alphas_cumprod)
    lending = alphas_cumprod.to(before.device) if isinstance(before, Tensor) else alphas_cumprod
    with lent(model, alphas_cumprod=lending, alphas_cumprod_original=lending):
        yield
