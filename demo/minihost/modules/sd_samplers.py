"""The samplers by name: those of k-diffusion on the host's sigma tables, and DDIM."""

import functools
import inspect
import re

import k_diffusion.external
import torch
from k_diffusion import sampling
from modules import devices, sd_schedulers, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, SamplerData, sample_to_image, samples_to_image_grid  # noqa: F401


class CFGDenoiserKDiffusion(CFGDenoiser):
    def wrapped(self, model):
        kind = "CompVisVDenoiser" if model.parameterization == "v" else "CompVisDenoiser"
        return getattr(k_diffusion.external, kind)(model)


class KDiffusionSampler(Sampler):
    def __init__(self, function, sd_model):
        super().__init__(getattr(sampling, f"sample_{function}"), CFGDenoiserKDiffusion(self))

    def get_sigmas(self, p, steps):
        """[steps + 1] on the CPU, by the scheduler that `p` names or the sampler prefers."""
        own, params = self.config.options, p.extra_generation_params
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        scheduler = sd_schedulers.schedulers_map.get(own.get("scheduler") if name == "Automatic" else name)
        count = steps + (drop := own.get("discard_next_to_last_sigma", False))
        if scheduler is None or scheduler.function is None:
            sigmas = self.model_wrap.get_sigmas(count)
        else:
            if not p.is_hr_pass:
                params["Schedule type"] = scheduler.label
            elif params.get("Schedule type") != scheduler.label:
                params["Hires schedule type"] = scheduler.label
            sigmas = scheduler.function(count, *self._range(), self.model_wrap)
        keep = [number for number in range(len(sigmas)) if not drop or number != len(sigmas) - 2]
        return sigmas[keep].cpu()

    def _range(self):
        return self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()

    def _arguments(self, p, x, sigmas, whole, limits):
        """Keyword arguments of `func`: of the sigma tables, those it takes."""
        tables = {"sigmas": sigmas, "sigma_min": limits[0], "sigma_max": limits[1], "n": len(sigmas) - 1}
        arguments = {name: tables[name] for name in inspect.signature(self.func).parameters.keys() & tables.keys()}
        if self.config.options.get("brownian_noise"):
            seeds = p.all_seeds[p.batch_size * p.iteration :][: p.batch_size]
            ends = whole[whole > 0].min(), whole.max()
            arguments["noise_sampler"] = sampling.BrownianTreeNoiseSampler(x, *ends, seed=seeds)
        if "solver_type" in self.config.options:
            arguments["solver_type"] = self.config.options["solver_type"]
        return arguments

    def from_noise(self, p, x, steps):
        sigmas = self.get_sigmas(p, steps)
        start = x * sigmas[0]
        return start, self._arguments(p, start, sigmas, sigmas, self._range())

    def from_latent(self, p, x, noise, steps, made):
        whole = self.get_sigmas(p, steps)
        sigmas = whole[steps - made - 1 :]
        return noise * sigmas[0] + x, self._arguments(p, x, sigmas, whole, (sigmas[-2], sigmas[0]))


class PredictsNoise(torch.nn.Module):
    """The model, and the noise that it says is in `x`."""

    def __init__(self, model):
        super().__init__()
        self.inner_model = model

    def forward(self, x, times, **conds):
        return self.inner_model.apply_model(x, times, **conds)


class CFGDenoiserTimesteps(CFGDenoiser):
    """`sigma` is the timestep here, and the model predicts noise."""

    mask_before_denoising = True

    def wrapped(self, model):
        self.alphas = model.alphas_cumprod
        return PredictsNoise(model)

    def get_pred_x0(self, x_in, x_out, sigma):
        alpha = self.alphas[sigma.long()].view(-1, 1, 1, 1)
        return (x_in - (1 - alpha).sqrt() * x_out) / alpha.sqrt()


@torch.no_grad()
def ddim(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    """Ascending timesteps t_0..t_n: steps from t_n down to t_1, so the model never sees t_0 (arXiv 2010.02502)."""
    bar = model.inner_model.inner_model.alphas_cumprod
    for i, k in enumerate(range(len(timesteps) - 1, 0, -1)):
        now, then = bar[timesteps[k]].item(), bar[timesteps[k - 1]].item()
        eps = model(x, x.new_full((len(x),), timesteps[k].item()), **extra_args)
        spread = eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        clean = (x - (1 - now) ** 0.5 * eps) / now**0.5
        x = then**0.5 * clean + (1 - then - spread**2) ** 0.5 * eps + spread * sampling.torch.randn_like(x)
        callback({"i": i, "x": x, "denoised": clean, "sigma": 0, "sigma_hat": 0})
    return x


class CompVisSampler(Sampler):
    eta_setting, eta_in_infotext, eta_default = "eta_ddim", "Eta DDIM", 0.0

    def __init__(self, sd_model):
        super().__init__(ddim, CFGDenoiserTimesteps(self))

    def _timesteps(self, steps):
        return torch.arange(1000, device=devices.device)[:: 1000 // steps].add(1).clamp(max=999)

    def from_noise(self, p, x, steps):
        return x, {"timesteps": self._timesteps(steps)}

    def from_latent(self, p, x, noise, steps, made):
        times = self._timesteps(steps)
        alpha = shared.sd_model.alphas_cumprod[times[made]]
        return alpha.sqrt() * x + (1 - alpha).sqrt() * noise, {"timesteps": times[:made]}


OPTIONS = {"brown": {"brownian_noise": True}, "second": {"second_order": True}, "heun": {"solver_type": "heun"}}
OPTIONS |= {name: {"scheduler": name} for name in ("karras", "exponential")}
OPTIONS["discard"] = {"discard_next_to_last_sigma": True}
# label, k-diffusion's function, keys of OPTIONS
TABLE = """
    DPM++ 2M           dpmpp_2m            karras
    DPM++ SDE          dpmpp_sde           karras second brown
    DPM++ 2M SDE       dpmpp_2m_sde        exponential brown
    DPM++ 2M SDE Heun  dpmpp_2m_sde        exponential brown heun
    DPM++ 2S a         dpmpp_2s_ancestral  karras second
    DPM++ 3M SDE       dpmpp_3m_sde        exponential discard brown
    Euler a            euler_ancestral
    Euler              euler
    LMS                lms
    Heun               heun                second
    DPM2               dpm_2               karras discard second
    DPM2 a             dpm_2_ancestral     karras discard second
    DPM fast           dpm_fast
    DPM adaptive       dpm_adaptive"""


def _data(label, function, words=""):
    options = {key: value for word in words.split() for key, value in OPTIONS[word].items()}
    return SamplerData(label, functools.partial(KDiffusionSampler, function), options)


all_samplers = [_data(*re.split(r"\s{2,}", line.strip())) for line in TABLE.strip().splitlines()]
all_samplers.append(SamplerData("DDIM", CompVisSampler, {}))
all_samplers_map = {data.name: data for data in all_samplers}


def create_sampler(name, model):
    """A sampler of its own for one sampling. The sigma table is made from `model.alphas_cumprod` as it is now."""
    config = all_samplers_map[name]
    sampler = config.constructor(model)
    sampler.config = config
    return sampler


def get_sampler_and_scheduler(sampler_name, scheduler_name):
    """The names where they are known, else the first sampler's and "Automatic"."""
    sampler = all_samplers_map.get(sampler_name, all_samplers[0])
    scheduler = sd_schedulers.schedulers_map.get(scheduler_name)
    return sampler.name, scheduler.label if scheduler else "Automatic"
