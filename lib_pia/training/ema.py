"""The running mean of the trained weights, which is what gets exported."""
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average in float32. The decay grows from 0.1 towards `decay` as min(decay, (1 + n) / (10 + n)), so that the
    first steps do not hold the start for long (the warm-up of TensorFlow's ExponentialMovingAverage with num_updates)."""

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.mean = {name: value.detach().float().clone() for name, value in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor]) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in weights.items():
            self.mean[name].lerp_(value.detach().float(), 1 - decay)

    def state_dict(self) -> dict:
        return {"updates": self.updates, "mean": self.mean}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for name, value in state["mean"].items():
            self.mean[name].copy_(value)
