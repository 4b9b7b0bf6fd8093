"""What all samplers share; latents to pictures and back."""
import functools
import inspect
from collections import namedtuple

import k_diffusion.sampling
import numpy as np
import torch
import torchsde._brownian.brownian_interval
from modules import devices, images, sd_models, sd_vae_approx, shared
from modules.script_callbacks import ExtraNoiseParams, extra_noise_callback
from modules.shared import opts, state
from PIL import Image

SamplerDataTuple = namedtuple("SamplerData", "name constructor aliases options")
approximation_indexes = {name: number for number, name in enumerate(("Full", "Approx NN", "Approx cheap", "TAESD"))}


class SamplerData(SamplerDataTuple):
    def total_steps(self, steps):
        return steps * (2 if self.options.get("second_order") else 1)


def _data_of(sampler, rows):
    """SamplerData of the rows (label, sampling function or its name, aliases, options)."""
    return [SamplerData(label, functools.partial(sampler, function), aliases, options) for label, function, aliases, options in rows]


class InterruptedException(BaseException):
    pass


def setup_img2img_steps(p, steps=None):
    """(steps of the whole schedule, index of the step to start at counted from the end)."""
    strength = min(p.denoising_strength, 0.999)
    if steps is None and not opts.img2img_fix_steps:
        return p.steps, int(strength * p.steps)
    wanted = steps or p.steps
    return int(wanted / strength) if p.denoising_strength > 0 else 0, wanted - 1


def samples_to_images_tensor(sample, approximation=None, model=None):
    """Latents [B, 4, h, w] to pictures [B, 3, H, W], -1..1. Everything but "Full" is the cheap way here."""
    cheap = approximation_indexes.get(opts.show_progress_type) if approximation is None else approximation
    if cheap:
        return sd_vae_approx.cheap_approximation(sample)
    model = model or shared.sd_model
    with torch.no_grad():
        return model.decode_first_stage(sample.to(model.first_stage_model.dtype))


def single_sample_to_image(sample, approximation=None):
    picture = samples_to_images_tensor(sample[None], approximation)[0].float().mul(0.5).add(0.5).clamp(0, 1)
    return Image.fromarray((picture * 255).cpu().numpy().transpose(1, 2, 0).astype(np.uint8))


def sample_to_image(samples, index=0, approximation=None):
    chosen = samples[index]
    return single_sample_to_image(chosen, approximation)


def samples_to_image_grid(samples, approximation=None):
    pictures = [sample_to_image(samples, i, approximation) for i in range(len(samples))]
    return images.image_grid(pictures)


def decode_first_stage(model, x):
    return samples_to_images_tensor(x.to(devices.dtype_vae), approximation_indexes.get(opts.sd_vae_decode_method, 0), model)


def images_tensor_to_samples(image, approximation=None, model=None):
    """Pictures [B, 3, H, W], 0..1, to scaled latents, one after the other."""
    model = model or shared.sd_model
    image = image.to(shared.device, dtype=devices.dtype_vae) * 2 - 1
    return torch.cat([model.get_first_stage_encoding(model.encode_first_stage(one[None])) for one in image])


def store_latent(decoded):
    state.current_latent = decoded
    period = opts.show_progress_every_n_steps
    if not shared.parallel_processing_allowed and opts.live_previews_enable and period > 0 and state.sampling_step % period == 0:
        state.assign_current_image(sample_to_image(decoded))


def is_sampler_using_eta_noise_seed_delta(p):
    from modules import sd_samplers

    options = sd_samplers.find_sampler_config(p.sampler_name).options
    known = (p.eta, getattr(p.sampler, "eta", None), 0 if options.get("default_eta_is_0") else 1.0)
    eta = next(value for value in known if value is not None)
    return bool(eta) and options.get("uses_ensd", False)


def replace_torchsde_browinan():
    def randn(size, dtype, device, seed):
        return devices.randn_local(seed, size).to(device, dtype)

    torchsde._brownian.brownian_interval._randn = randn


replace_torchsde_browinan()


def _share_of_timesteps(inner_model, sigma):
    """How much of the 1000 timesteps lies behind `sigma` (which is a timestep for models without `sigmas`)."""
    sigmas = getattr(inner_model, "sigmas", None)
    return (999 - (sigma.to(int) if sigmas is None else (sigmas.to(sigma) - sigma).abs().argmin())) / 1000


def apply_refiner(cfg_denoiser, sigma=None):
    """Switch to the refiner when its share of the schedule is reached; True when it did."""
    p, by_noise = cfg_denoiser.p, sigma is not None and not opts.refiner_switch_by_sample_steps
    info, switch_at = p.refiner_checkpoint_info, p.refiner_switch_at
    if info in (None, shared.sd_model.sd_checkpoint_info):
        return False
    done = _share_of_timesteps(cfg_denoiser.inner_model, sigma.max()) if by_noise else cfg_denoiser.step / cfg_denoiser.total_steps
    if switch_at is not None and done < switch_at:
        return False
    p.extra_generation_params.update({"Refiner": info.short_title, "Refiner switch at": switch_at})
    with sd_models.SkipWritingToConfig():
        sd_models.reload_model_weights(info=info)
    p.setup_conds()
    cfg_denoiser.update_inner_model()
    return True


def _with_model(denoiser):
    return denoiser, denoiser.inner_model


class TorchHijack:
    """`torch` for k_diffusion.sampling, with the pictures' own noise as `randn_like`."""

    def __init__(self, p):
        self.rng = p.rng

    def __getattr__(self, item):
        return getattr(torch, item)

    def randn_like(self, x):
        return self.rng.next()


class Sampler:
    def __init__(self, funcname):
        self.funcname = self.func = funcname
        self.extra_params = []
        self.stop_at = self.eta = self.last_latent = self.s_min_uncond = None
        self.config: SamplerData = None
        self.s_churn, self.s_tmin, self.s_tmax, self.s_noise = 0.0, 0.0, float("inf"), 1.0
        self.eta_option_field, self.eta_infotext_field, self.eta_default = "eta_ancestral", "Eta", 1.0
        self.conditioning_key = getattr(shared.sd_model.model, "conditioning_key", None) or "crossattn"
        self.p = self.model_wrap_cfg = self.sampler_extra_args = self.sampler_noises = None
        self.options = {}

    def callback_state(self, d):
        step, last = d["i"], self.stop_at
        if last is not None and step > last:
            raise InterruptedException("no further step is wanted")
        state.sampling_step = step
        shared.total_tqdm.update()

    def launch_sampling(self, steps, func):
        """`func()`, or the last latent when it is interrupted."""
        self.model_wrap_cfg.steps, self.model_wrap_cfg.total_steps = steps, self.config.total_steps(steps)
        state.sampling_steps, state.sampling_step = steps, 0
        try:
            return func()
        except (InterruptedException, RecursionError):
            return self.last_latent

    def number_of_needed_noises(self, p):
        return p.steps

    def initialize(self, p) -> dict:
        """Take over what `p` says; returns the keyword arguments of the sampling function."""
        self.p = p
        denoiser = self.model_wrap_cfg
        denoiser.p, denoiser.step = p, 0
        denoiser.mask, denoiser.nmask = getattr(p, "mask", None), getattr(p, "nmask", None)
        denoiser.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.s_min_uncond, self.eta = getattr(p, "s_min_uncond", 0), p.eta
        if self.eta is None:
            self.eta = getattr(opts, self.eta_option_field, 0.0)
        k_diffusion.sampling.torch = TorchHijack(p)

        accepted = inspect.signature(self.func).parameters
        kwargs = {name: getattr(p, name) for name in self.extra_params if hasattr(p, name) and name in accepted}
        if "eta" in accepted:
            kwargs["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params.update({self.eta_infotext_field: self.eta})
        for name in self.extra_params:
            value = getattr(opts, name, getattr(p, name)) or (self.s_tmax if name == "s_tmax" else 0)
            if name in kwargs and value != getattr(self, name):
                kwargs[name] = value
                setattr(p, name, value)
                p.extra_generation_params["Sigma " + name[2:]] = value
        return kwargs

    def create_noise_sampler(self, x, sigmas, p):
        """Noise of the SDE samplers, from each picture's seed."""
        if opts.no_dpmpp_sde_batch_determinism:
            return None
        seeds = p.all_seeds[p.iteration * p.batch_size:(p.iteration + 1) * p.batch_size]
        return k_diffusion.sampling.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=seeds)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        raise NotImplementedError

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        raise NotImplementedError

    def _with_extra_noise(self, p, x, noise, noisy, scale):
        """`noisy`, with the extra noise of the settings (times `scale`), which extensions may exchange."""
        share = opts.img2img_extra_noise
        if share <= 0:
            return noisy
        p.extra_generation_params.update({"Extra noise": share})
        params = ExtraNoiseParams(noise, x, noisy)
        extra_noise_callback(params)
        return noisy + params.noise * share * scale

    def _guide(self, latent, cond, uncond, image_cond):
        """Keep what the denoiser is called with, and `latent` for the case that nothing else comes."""
        self.last_latent = latent
        self.sampler_extra_args = {"cond": cond, "image_cond": image_cond, "uncond": uncond, "cond_scale": self.p.cfg_scale,
                                   "s_min_uncond": self.s_min_uncond}

    def _run(self, x, calls, kwargs):
        samples = self.launch_sampling(calls, lambda: self.func(self.model_wrap_cfg, x, extra_args=self.sampler_extra_args, disable=True,
                                                                callback=self.callback_state, **kwargs))
        self.add_infotext(self.p)
        return samples

    def add_infotext(self, p):
        padded = {"Pad conds": self.model_wrap_cfg.padded_cond_uncond, "Pad conds v0": self.model_wrap_cfg.padded_cond_uncond_v0}
        p.extra_generation_params.update((key, True) for key, happened in padded.items() if happened)
