"""`hires_scale`: the clip's latents enlarged and sampled again by PIA, with its picture encoded at that size.

The host's "Hires. fix" does so with pictures (processing.py of v1.10.1): latents enlarged, noise of the same seeds at
the new size, the sampler's way of img2img. Here windows, texts and affinity are those of the first pass; z^I is the
picture at the new size, so that what the small latents could not hold comes from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules import rng, sd_samplers
from modules.shared import state
from torch import Tensor
from torch.nn import functional

from lib_pia.lending import lent
from lib_pia.model import PIAModel

from .direction import Direction
from .pictures import latent_of
from .request import Request
from .windows import HostCall, Started, WindowSampling

LATENT_SCALE = 8  # pixels per latent cell (the host's processing.opt_f)


def noise_of(p: Any, shape: Any) -> rng.ImageRNG:
    """The host's noise for the clip that `p` samples now, at the latent's `shape` [4, H, W]."""
    return rng.ImageRNG(
        shape,
        p.seeds,
        subseeds=p.subseeds,
        subseed_strength=p.subseed_strength,
        seed_resize_from_h=p.seed_resize_from_h,
        seed_resize_from_w=p.seed_resize_from_w,
    )


def enlarged(latents: Tensor, height: int, width: int) -> Tensor:
    """[F, C, h, w] -> [F, C, height, width], as the host's upscaler "Latent" does it."""
    return functional.interpolate(latents.float(), size=(height, width), mode="bilinear").to(latents)


class SecondPass(WindowSampling):
    """The windows of a clip sampled again, from latents `begun` [F, 4, H, W] at their size.

    first: the pass that made them small. direction: as for that one, at the large size, with `begun`.
    """

    def __init__(
        self,
        first: WindowSampling,
        request: Request,
        model: PIAModel,
        direction: Direction,
        on_window: Callable[[int, Tensor | None], None],
    ) -> None:
        super().__init__(first.p, request, model, direction, on_window)
        self.from_image = True
        self._small = first.call

    def sample(self) -> Tensor | None:
        """Latents [F, 4, H, W]; None where the user interrupts before all frames are made."""
        p, small, begun = self.p, self._small, self.direction.begun
        self._first = Started.of(sd_samplers.create_sampler(p.sampler_name, p.sd_model))
        noise = noise_of(p, begun.shape[1:])
        conditioning = small.image_conditioning
        if conditioning is not None and conditioning.shape[-1] > 1:  # of inpainting checkpoints: a mask and a picture
            conditioning = functional.interpolate(conditioning, size=begun.shape[2:], mode="nearest")
        with lent(p, rng=noise, denoising_strength=self.direction.settings.hires_strength):
            call = HostCall(begun, noise.next(), small.cond, small.uncond, small.steps, conditioning)
            samples = self._clip(call)
        return None if state.interrupted or state.skipped or len(samples) < len(begun) else samples

    def _finished(self, made: Tensor, done: slice) -> Tensor:
        return made[done]


def direction_at(first: Direction, p: Any, request: Request, picture: Any, samples: Tensor) -> Direction:
    """`first` at `hires_scale` times the size of the `samples` [F, 4, h, w] that it led to. picture: the clip's, as it
    was given."""
    height, width = (int(side * first.settings.hires_scale) for side in samples.shape[2:])
    size = (width * LATENT_SCALE, height * LATENT_SCALE)
    device = samples.device
    known = request.continued.latents(p, size).to(device) if request.continued else None
    brush = first.brush
    if brush is not None:
        brush = functional.interpolate(brush.float(), size=(height, width), mode="bilinear")
    begun = enlarged(samples, height, width)
    if known is not None:
        begun[: len(known)] = known.to(begun)
    pictures = [latent_of(p, further, size) for further in request.pictures]
    latent = latent_of(p, picture, size).to(device)
    return Direction(first.settings, latent, known, pictures, brush, first.said, begun)
