"""txt2img: the still picture that the host makes without PIA, and the latent it ends in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from modules import devices, extra_networks, processing, prompt_parser, rng
from PIL import Image
from torch import Tensor

from lib_pia.errors import HostError
from lib_pia.lending import lent


@dataclasses.dataclass
class Still:
    """One still picture of txt2img."""

    latent: Tensor  # [1, 4, H, W], final (after hires fix)
    decoded: Tensor | None = None  # [3, H*8, W*8] in [-1, 1], where the host decoded it already

    def picture(self, sd_model: Any) -> Image.Image:
        """The still as an RGB picture; decodes it once if the host did not."""
        if self.decoded is None:
            self.decoded = processing.decode_latent_batch(
                sd_model, self.latent, target_device=devices.cpu, check_for_nans=True
            )[0]
        values = ((self.decoded.float() + 1.0) / 2.0).clamp(0.0, 1.0).cpu().numpy()
        return Image.fromarray((255.0 * np.moveaxis(values, 0, 2)).astype(np.uint8))


def first_of(conditioning: Any) -> Any:
    """The conditioning of one picture, cut from a batch's; the host's shared objects are not changed."""
    if conditioning is None:
        return None
    if hasattr(conditioning, "batch"):
        return prompt_parser.MulticondLearnedConditioning(shape=(1,), batch=conditioning.batch[:1])
    return conditioning[:1]


def make_still(p: Any, sample: Callable[..., Any], num_frames: int, watch: StillWatch) -> Still:
    """The host's `sample` (bound to `p`) for one picture with the seed of the clip's first frame.

    Everything that the sampling reads of `p` is lent for one picture: the result is bit for bit that of the same
    request without PIA.
    """
    one = {name: getattr(p, name)[:1] for name in ("prompts", "negative_prompts", "seeds", "subseeds")}
    for name in ("hr_prompts", "hr_negative_prompts"):
        if getattr(p, name, None):
            one[name] = getattr(p, name)[:1]
    conds = {name: first_of(getattr(p, name, None)) for name in ("c", "uc", "hr_c", "hr_uc") if hasattr(p, name)}
    noise = rng.ImageRNG(
        p.rng.shape,
        one["seeds"],
        subseeds=one["subseeds"],
        subseed_strength=p.subseed_strength,
        seed_resize_from_h=p.seed_resize_from_h,
        seed_resize_from_w=p.seed_resize_from_w,
    )
    # samplers find their seeds at all_seeds[iteration * batch_size]
    with lent(p, batch_size=1, iteration=p.iteration * num_frames, rng=noise, is_hr_pass=p.is_hr_pass, **one, **conds):
        samples = sample(
            conditioning=p.c,
            unconditional_conditioning=p.uc,
            seeds=p.seeds,
            subseeds=p.subseeds,
            subseed_strength=p.subseed_strength,
            prompts=p.prompts,
        )
    if not getattr(samples, "already_decoded", False):
        return Still(samples)
    if not p.disable_extra_networks:  # hires fix left its own networks active
        with devices.autocast():
            extra_networks.activate(p, p.extra_network_data)
    if watch.latent is None:
        raise HostError(
            "The latent of the hires. fix picture was not seen, because another extension replaced the host's "
            "sampling; switch "
            "that extension or hires. fix off."
        )
    return Still(watch.latent, samples[0])


class StillWatch:
    """Remembers what the hires pass's sampler gives, since the host returns it decoded."""

    def __init__(self) -> None:
        self.latent: Tensor | None = None

    def __call__(self, p: Any, sampler: Any) -> None:
        """Called before each sampling of the still."""
        if not p.is_hr_pass:
            return
        sample_img2img = sampler.sample_img2img

        def watched(*args: Any, **kwargs: Any) -> Tensor:
            self.latent = sample_img2img(*args, **kwargs)
            return self.latent

        sampler.sample_img2img = watched
