"""What all samplers share; pictures to latents and back."""
from __future__ import annotations

import inspect
from collections import namedtuple

import k_diffusion.sampling
import torch
from modules import devices, images, shared
from modules.shared import opts, state
from PIL import Image

# A latent's four channels as colours, roughly: what previews show unless "show_progress_type" is "Full".
ROUGH_COLOURS = ((0.30, 0.19, 0.17), (0.19, 0.28, 0.21), (-0.16, 0.19, 0.27), (-0.20, -0.19, -0.47))
SamplerData = namedtuple("SamplerData", "name constructor aliases options")      # constructor(model) -> Sampler


class InterruptedException(BaseException):
    """Ends a sampling; what there is by then is the result."""


def decode_first_stage(model, x):
    """Latents [B, 4, h, w], scaled, to pictures [B, 3, 8h, 8w], -1..1."""
    with torch.no_grad():
        return model.decode_first_stage(x.to(model.first_stage_model.dtype))


def images_tensor_to_samples(image, approximation=None, model=None):
    """Pictures [B, 3, H, W], 0..1, to scaled latents, one picture after the other."""
    model = model or shared.sd_model
    signed = 2 * image.to(devices.device, devices.dtype_vae) - 1
    return torch.cat([model.get_first_stage_encoding(model.encode_first_stage(one)) for one in signed.split(1)])


def sample_to_image(samples, index=0, approximation=None):
    """A preview of one latent of a batch."""
    latent = samples[index][None]
    if opts.show_progress_type == "Full":
        picture = decode_first_stage(shared.sd_model, latent)
    else:
        picture = torch.einsum("bchw,cr->brhw", latent, torch.tensor(ROUGH_COLOURS).to(latent))
    values = (picture[0].float() * 127.5 + 127.5).clamp(0, 255).byte().permute(1, 2, 0)
    return Image.fromarray(values.contiguous().cpu().numpy())


def samples_to_image_grid(samples, approximation=None):
    return images.image_grid([sample_to_image(samples, number) for number in range(len(samples))])


def img2img_steps(p, steps=None):
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
    """One sampling. `func(denoiser, x, ...)` is the sampling function, `model_wrap_cfg` its denoiser."""

    eta_setting, eta_in_infotext, eta_default = "eta_ancestral", "Eta", 1.0

    def __init__(self, function, denoiser, options=None):
        self.func, self.options, self.model_wrap_cfg = function, options or {}, denoiser
        self.model_wrap = denoiser.inner_model
        self.p = self.config = self.eta = self.last_latent = self.sampler_extra_args = None

    def initialize(self, p):
        """Takes over what `p` says. Returns keyword arguments of `func`."""
        self.p = p
        vars(self.model_wrap_cfg).update(p=p, step=0, mask=getattr(p, "mask", None), nmask=getattr(p, "nmask", None))
        k_diffusion.sampling.torch = PictureNoise(p)
        self.eta = getattr(opts, self.eta_setting) if p.eta is None else p.eta
        if "eta" not in inspect.signature(self.func).parameters:
            return {}
        if self.eta != self.eta_default:
            p.extra_generation_params[self.eta_in_infotext] = self.eta
        return {"eta": self.eta}

    def run(self, x, latent, steps, conds, arguments):
        """`func` from `x`; when it is interrupted, the last latent (`latent` before there is one). `conds`: (positive,
        negative, of the picture)."""
        p, denoiser, self.last_latent = self.p, self.model_wrap_cfg, latent
        self.sampler_extra_args = {"cond": conds[0], "uncond": conds[1], "image_cond": conds[2],
                                   "cond_scale": p.cfg_scale, "s_min_uncond": p.s_min_uncond or 0.0}
        denoiser.total_steps = steps * (2 if self.config.options.get("second_order") else 1)
        state.sampling_steps, state.sampling_step = steps, 0
        try:
            made = self.func(denoiser, x, extra_args=self.sampler_extra_args, disable=True, callback=self._count, **arguments)
        except InterruptedException:
            made = self.last_latent
        if denoiser.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        return made

    def _count(self, told):
        state.sampling_step = told["i"]

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From noise `x`, unit variance."""
        raise NotImplementedError

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        """From the latent `x`, noised by p.denoising_strength."""
        raise NotImplementedError
