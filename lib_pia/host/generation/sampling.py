"""The host's own samplers with PIA's schedule, started from noise or from the condition latent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modules import sd_samplers
from torch import Tensor

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


def start_from_noise(sampler: Any) -> None:
    """Lets `sampler.sample_img2img` start from pure noise, its masks still blending with the init latent.

    `sampler` is an instance made for this clip and thrown away with it.
    """

    def sample_img2img(
        p: Any,
        x: Tensor,
        noise: Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Tensor | None = None,
    ) -> Tensor:
        sampler.model_wrap_cfg.init_latent = x
        return sampler.sample(
            p, noise, conditioning, unconditional_conditioning, steps=steps, image_conditioning=image_conditioning
        )

    sampler.sample_img2img = sample_img2img


class LatentStart:
    """Lets the sampler that the host's txt2img makes start as img2img does, from `latent` [F, 4, H, W] noised by
    p.denoising_strength."""

    def __init__(self, latent: Tensor) -> None:
        self.latent = latent
        self.used = False

    def __call__(self, p: Any, sampler: Any) -> None:
        """Called when the host is about to use `sampler`, an instance made for this clip."""

        def sample(
            p: Any,
            x: Tensor,
            conditioning: Any,
            unconditional_conditioning: Any,
            steps: int | None = None,
            image_conditioning: Tensor | None = None,
        ) -> Tensor:
            self.used = True
            return sampler.sample_img2img(
                p,
                self.latent,
                x,
                conditioning,
                unconditional_conditioning,
                steps=steps,
                image_conditioning=image_conditioning,
            )

        sampler.sample = sample
