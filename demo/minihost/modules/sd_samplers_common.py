"""What all samplers share; pictures to latents and back."""

from __future__ import annotations

import inspect
from collections import namedtuple

import k_diffusion.sampling
import torch
from modules import devices, images, shared
from modules.shared import opts, state
from PIL import Image

# A latent's four channels as colours, roughly: what previews show.
ROUGH_COLOURS = ((0.30, 0.19, 0.17), (0.19, 0.28, 0.21), (-0.16, 0.19, 0.27), (-0.20, -0.19, -0.47))
SamplerData = namedtuple("SamplerData", "name constructor options")  # constructor(model) -> Sampler


class InterruptedException(BaseException):
    """Ends a sampling; what there is by then is the result."""


def images_tensor_to_samples(image, approximation=None, model=None):
    """Pictures [B, 3, H, W], 0..1, to scaled latents, one picture after the other."""
    model = model or shared.sd_model
    signed = 2 * image.to(devices.device, devices.dtype_vae) - 1
    return torch.cat([model.get_first_stage_encoding(model.encode_first_stage(one)) for one in signed.split(1)])


def sample_to_image(samples, index=0, approximation=None):
    """A preview of one latent of a batch."""
    picture = torch.einsum("chw,cr->hwr", samples[index], torch.tensor(ROUGH_COLOURS).to(samples))
    values = (picture.float() * 127.5 + 127.5).clamp(0, 255).byte()
    return Image.fromarray(values.contiguous().cpu().numpy())


def samples_to_image_grid(samples, approximation=None):
    return images.image_grid([sample_to_image(samples, number) for number in range(len(samples))])


def _part_of_the_steps(p, steps=None):
    """(steps of the whole schedule, how many of its last steps are made less one)."""
    strength = min(p.denoising_strength, 0.999)
    if steps is None:
        return p.steps, int(p.steps * strength)
    return (int(steps / strength) if strength > 0 else 0), steps - 1


class PictureNoise:
    """Stands in for `torch` inside k-diffusion: `randn_like` draws from the pictures' own seeds."""

    def __init__(self, p):
        self.randn_like = lambda x: p.rng.next()

    def __getattr__(self, name):
        return getattr(torch, name)


class Sampler:
    """One sampling. `func(denoiser, x, ...)` is the sampling function, `model_wrap_cfg` its denoiser.

    A kind of sampler has `from_noise(p, x, steps)` and `from_latent(p, x, noise, steps, made)`, for the last `made` + 1
    steps: both give the start and keyword arguments of `func`.
    """

    eta_setting, eta_in_infotext, eta_default = "eta_ancestral", "Eta", 1.0

    def __init__(self, function, denoiser):
        self.func, self.model_wrap_cfg, self.model_wrap = function, denoiser, denoiser.inner_model
        self.p = self.config = self.eta = self.last_latent = self.sampler_extra_args = None

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From noise `x`, unit variance."""
        self._initialize(p)
        start, arguments = self.from_noise(p, x, steps or p.steps)
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self._run(start, start, steps or p.steps, conds, arguments)

    def sample_img2img(
        self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None
    ):  # fmt: skip
        """From the latent `x`, noised by p.denoising_strength."""
        self._initialize(p)
        total, made = _part_of_the_steps(p, steps)
        start, arguments = self.from_latent(p, x, noise, total, made)
        self.model_wrap_cfg.init_latent = x
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self._run(start, x, made + 1, conds, arguments)

    def _initialize(self, p):
        """Takes over what `p` says."""
        self.p = p
        vars(self.model_wrap_cfg).update(p=p, step=0, mask=getattr(p, "mask", None), nmask=getattr(p, "nmask", None))
        k_diffusion.sampling.torch = PictureNoise(p)
        self.eta = getattr(opts, self.eta_setting) if p.eta is None else p.eta

    def _run(self, x, latent, steps, conds, arguments):
        """`func` from `x`; when it is interrupted, the last latent (`latent` before there is one). `conds`: (positive,
        negative, of the picture)."""
        p, denoiser, self.last_latent = self.p, self.model_wrap_cfg, latent
        if "eta" in inspect.signature(self.func).parameters:
            arguments["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_in_infotext] = self.eta
        self.sampler_extra_args = dict(zip(("cond", "uncond", "image_cond"), conds), cond_scale=p.cfg_scale)
        self.sampler_extra_args["s_min_uncond"] = p.s_min_uncond or 0.0
        denoiser.total_steps = steps * (2 if self.config.options.get("second_order") else 1)
        state.sampling_steps, state.sampling_step = steps, 0
        given = {"extra_args": self.sampler_extra_args, "disable": True, "callback": self._count}
        try:
            made = self.func(denoiser, x, **given, **arguments)
        except InterruptedException:
            made = self.last_latent
        if denoiser.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        return made

    def _count(self, told):
        state.sampling_step = told["i"]
