"""The host's own sampler, made anew with the schedule that is lent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modules import sd_samplers

from lib_pia.lending import lent

DEFAULT_STRENGTH = 0.75  # the WebUI's own default denoising strength, where txt2img has none


@contextmanager
def fresh_sampler(p: Any) -> Iterator[Any]:
    """A sampler made anew (so that its sigma table is the schedule lent now) as `p.sampler`; the old one is put
    back."""
    sampler = sd_samplers.create_sampler(p.sampler_name, p.sd_model)
    before = p.sampler
    with lent(p, sampler=sampler):
        yield sampler
    if before is not None:
        before.eta = sampler.eta  # the host's infotext asks p.sampler for it
