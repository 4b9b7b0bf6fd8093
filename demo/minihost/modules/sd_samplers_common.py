"""What all samplers share; pictures to latents and back."""
from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

import k_diffusion.sampling
import numpy as np
import torch
from modules import devices, images, shared
from modules.shared import opts, state
from PIL import Image

# A latent's four channels as colours, roughly: what previews show unless "show_progress_type" is "Full".
ROUGH_COLOURS = ((0.30, 0.19, 0.17), (0.19, 0.28, 0.21), (-0.16, 0.19, 0.27), (-0.20, -0.19, -0.47))


class InterruptedException(BaseException):
    """Ends a sampling; what there is by then is the result."""


@dataclasses.dataclass(frozen=True)
class SamplerData:
    name: str
    constructor: Callable           # of a Sampler, given the model
    aliases: list[str]
    options: dict

    def total_steps(self, steps):
        """Calls of the model."""
        return 2 * steps if self.options.get("second_order") else steps


def decode_first_stage(model, x):
    """Latents [B, 4, h, w], scaled, to pictures [B, 3, 8h, 8w], -1..1."""
    with torch.no_grad():
        return model.decode_first_stage(x.to(model.first_stage_model.dtype))


def images_tensor_to_samples(image, approximation=None, model=None):
    """Pictures [B, 3, H, W], 0..1, to scaled latents, one picture after the other."""
    model = model or shared.sd_model
    signed = 2 * image.to(devices.device, devices.dtype_vae) - 1
    rows = [model.get_first_stage_encoding(model.encode_first_stage(signed[i:i + 1])) for i in range(len(signed))]
    return torch.cat(rows)


def sample_to_image(samples, index=0, approximation=None):
    """A preview of one latent of a batch."""
    latent = samples[index:index + 1] if index != -1 else samples[-1:]
    if opts.show_progress_type == "Full":
        picture = decode_first_stage(shared.sd_model, latent)
    else:
        colours = torch.tensor(ROUGH_COLOURS, device=latent.device, dtype=latent.dtype)
        picture = torch.einsum("bchw,cr->brhw", latent, colours)
    bytes_ = (picture[0].float() * 127.5 + 127.5).clamp(0, 255).byte().permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(bytes_.cpu().numpy()))


def samples_to_image_grid(samples, approximation=None):
    return images.image_grid([sample_to_image(samples, number) for number in range(len(samples))])


def store_latent(decoded):
    """Where previews take the latent from."""
    state.current_latent = decoded
    every = opts.show_progress_every_n_steps
    if opts.live_previews_enable and not shared.parallel_processing_allowed and every > 0:
        if state.sampling_step % every == 0:
            state.assign_current_image(sample_to_image(decoded))


def img2img_steps(p, steps=None):
    """(steps of the whole schedule, how many of its last steps are made less one)."""
    strength = min(p.denoising_strength, 0.999)
    if steps is None and not opts.img2img_fix_steps:
        return p.steps, int(p.steps * strength)
    made = steps or p.steps
    return (int(made / strength) if p.denoising_strength > 0 else 0), made - 1


class PictureNoise:
    """Stands in for `torch` inside k-diffusion: `randn_like` draws from the pictures' own seeds."""

    def __init__(self, p):
        self._rng = p.rng

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn_like(self, x):
        return self._rng.next()


class Sampler:
    """One sampling. `func(denoiser, x, ...)` is the sampling function, `model_wrap_cfg` its denoiser."""

    eta_setting, eta_in_infotext, eta_default = "eta_ancestral", "Eta", 1.0
    numbers = ()            # names among s_churn, s_tmin, s_tmax, s_noise that `func` takes

    def __init__(self, function, denoiser, options=None):
        self.func, self.options, self.model_wrap_cfg = function, options or {}, denoiser
        self.model_wrap = denoiser.inner_model
        self.conditioning_key = shared.sd_model.model.conditioning_key
        self.p = self.config = self.eta = self.last_latent = self.stop_at = self.sampler_extra_args = None

    def accepts(self, name):
        return name in inspect.signature(self.func).parameters

    def initialize(self, p):
        """Takes over what `p` says. Returns keyword arguments of `func`."""
        self.p, denoiser = p, self.model_wrap_cfg
        vars(denoiser).update(p=p, step=0, mask=getattr(p, "mask", None), nmask=getattr(p, "nmask", None))
        k_diffusion.sampling.torch = PictureNoise(p)
        self.eta = getattr(opts, self.eta_setting) if p.eta is None else p.eta
        arguments = {}
        if self.accepts("eta"):
            arguments["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_in_infotext] = self.eta
        for name in filter(self.accepts, self.numbers):
            arguments[name] = getattr(p, name)
            usual = {"s_noise": 1.0, "s_tmax": float("inf")}.get(name, 0.0)
            if (wished := getattr(opts, name) or (usual if name == "s_tmax" else 0.0)) != usual:
                arguments[name] = wished
                setattr(p, name, wished)
                p.extra_generation_params[f"Sigma {name[2:]}"] = wished
        return arguments

    def run(self, x, latent, steps, conds, arguments):
        """`func` from `x`; when it is interrupted, the last latent (`latent` before there is one). `conds`: (positive,
        negative, of the picture)."""
        p, denoiser = self.p, self.model_wrap_cfg
        self.last_latent = latent
        self.sampler_extra_args = {"cond": conds[0], "uncond": conds[1], "image_cond": conds[2], "cond_scale": p.cfg_scale,
                                   "s_min_uncond": p.s_min_uncond or 0.0}
        denoiser.steps, denoiser.total_steps = steps, self.config.total_steps(steps)
        state.sampling_steps, state.sampling_step = steps, 0
        try:
            made = self.func(denoiser, x, extra_args=self.sampler_extra_args, disable=True, callback=self._count, **arguments)
        except (InterruptedException, RecursionError):
            made = self.last_latent
        if denoiser.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        return made

    def _count(self, told):
        if self.stop_at is not None and told["i"] > self.stop_at:
            raise InterruptedException
        state.sampling_step = told["i"]

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From noise `x`, unit variance."""
        raise NotImplementedError

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From the latent `x`, noised by p.denoising_strength."""
        raise NotImplementedError
