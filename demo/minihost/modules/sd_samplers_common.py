"""What all samplers share; latents to pictures and back."""
import inspect
from collections import namedtuple

import k_diffusion.sampling
import numpy as np
import torch
import torchsde._brownian.brownian_interval
from modules import devices, images, sd_models, sd_vae_approx, shared
from modules.shared import opts, state
from PIL import Image

SamplerDataTuple = namedtuple("SamplerData", ["name", "constructor", "aliases", "options"])
approximation_indexes = {"Full": 0, "Approx NN": 1, "Approx cheap": 2, "TAESD": 3}


class SamplerData(SamplerDataTuple):
    def total_steps(self, steps):
        return steps * 2 if self.options.get("second_order", False) else steps


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
    if approximation is None:
        approximation = approximation_indexes.get(opts.show_progress_type, 0)
    if approximation != 0:
        return sd_vae_approx.cheap_approximation(sample)
    model = model or shared.sd_model
    with torch.no_grad():
        return model.decode_first_stage(sample.to(model.first_stage_model.dtype))


def single_sample_to_image(sample, approximation=None):
    picture = samples_to_images_tensor(sample[None], approximation)[0].float().mul(0.5).add(0.5).clamp(0, 1)
    return Image.fromarray((picture * 255).cpu().numpy().transpose(1, 2, 0).astype(np.uint8))


def sample_to_image(samples, index=0, approximation=None):
    return single_sample_to_image(samples[index], approximation)


def samples_to_image_grid(samples, approximation=None):
    return images.image_grid([single_sample_to_image(sample, approximation) for sample in samples])


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

    config = sd_samplers.find_sampler_config(p.sampler_name)
    eta = p.eta if p.eta is not None else p.sampler.eta if p.sampler is not None else None
    if eta is None:
        eta = 0 if config.options.get("default_eta_is_0", False) else 1.0
    return eta != 0 and config.options.get("uses_ensd", False)


def replace_torchsde_browinan():
    def randn(size, dtype, device, seed):
        return devices.randn_local(seed, size).to(device=device, dtype=dtype)

    torchsde._brownian.brownian_interval._randn = randn


replace_torchsde_browinan()


def apply_refiner(cfg_denoiser, sigma=None):
    """Switch to the refiner when its share of the schedule is reached; True when it did."""
    p = cfg_denoiser.p
    done = cfg_denoiser.step / cfg_denoiser.total_steps
    if not opts.refiner_switch_by_sample_steps and sigma is not None:
        sigmas = getattr(cfg_denoiser.inner_model, "sigmas", None)
        t = torch.max(sigma).to(int) if sigmas is None else torch.argmin((sigmas.to(sigma) - torch.max(sigma)).abs())
        done = (999 - t) / 1000
    info = p.refiner_checkpoint_info
    if info is None or shared.sd_model.sd_checkpoint_info == info or (p.refiner_switch_at is not None and done < p.refiner_switch_at):
        return False
    p.extra_generation_params["Refiner"] = info.short_title
    p.extra_generation_params["Refiner switch at"] = p.refiner_switch_at
    with sd_models.SkipWritingToConfig():
        sd_models.reload_model_weights(info=info)
    p.setup_conds()
    cfg_denoiser.update_inner_model()
    return True


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
        self.conditioning_key = getattr(shared.sd_model.model, "conditioning_key", "crossattn")
        self.p = self.model_wrap_cfg = self.sampler_extra_args = self.sampler_noises = None
        self.options = {}

    def callback_state(self, d):
        if self.stop_at is not None and d["i"] > self.stop_at:
            raise InterruptedException
        state.sampling_step = d["i"]
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
        self.eta = p.eta if p.eta is not None else getattr(opts, self.eta_option_field, 0.0)
        self.s_min_uncond = getattr(p, "s_min_uncond", 0.0)
        k_diffusion.sampling.torch = TorchHijack(p)

        accepted = inspect.signature(self.func).parameters
        kwargs = {name: getattr(p, name) for name in self.extra_params if hasattr(p, name) and name in accepted}
        if "eta" in accepted:
            kwargs["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_infotext_field] = self.eta
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

    def _extra_args(self, p, cond, uncond, image_cond):
        return {"cond": cond, "image_cond": image_cond, "uncond": uncond, "cond_scale": p.cfg_scale, "s_min_uncond": self.s_min_uncond}

    def _run(self, x, calls, kwargs):
        samples = self.launch_sampling(calls, lambda: self.func(self.model_wrap_cfg, x, extra_args=self.sampler_extra_args, disable=True,
                                                                callback=self.callback_state, **kwargs))
        self.add_infotext(self.p)
        return samples

    def add_infotext(self, p):
        if self.model_wrap_cfg.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        if self.model_wrap_cfg.padded_cond_uncond_v0:
            p.extra_generation_params["Pad conds v0"] = True
