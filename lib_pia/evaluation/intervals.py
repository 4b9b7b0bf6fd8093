"""95 % intervals: of a mean by the bootstrap, of a share by Wilson's formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
Z_95 = 1.959963984540054  # normal quantile of 0.975


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval, from `count` observations."""

    value: float
    low: float
    high: float
    count: int

    def shown(self, decimals: int) -> str:
        return f"{self.value:.{decimals}f} [{self.low:.{decimals}f}, {self.high:.{decimals}f}]"


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean, and the 2.5th and 97.5th percentile of the means of resamples with replacement."""
    data = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(data), (RESAMPLES, len(data)))
    low, high = np.percentile(data[draws].mean(axis=1), (2.5, 97.5))
    return Estimate(float(data.mean()), float(low), float(high), len(data))


def wilson(successes: int, trials: int) -> Estimate:
    """A share and Wilson's score interval (Wilson 1927; Newcombe 1998, method 3)."""
    share, spread = successes / trials, Z_95**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half), trials)
