"""The samplers by name: those of k-diffusion with the noise schedules by name, and DDIM."""

import functools
import inspect
from collections import namedtuple

import numpy as np
import torch
from k_diffusion import external, sampling
from modules import devices, shared
from modules.sd_samplers_common import CFGDenoiser, Sampler, SamplerData, sample_to_image  # noqa: F401
from scipy.stats import beta

# `function(n, lowest sigma, highest sigma, model)` gives n + 1 sigmas, falling, the last one 0
Scheduler = namedtuple("Scheduler", "name label function")
AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)  # published, ten steps


def _ending_in_0(sigmas_of):
    """The function of a scheduler, from one that gives the n sigmas before the last."""
    return lambda *given: torch.tensor([*map(float, sigmas_of(*given)), 0.0])


def _times(model, low, high, count):
    """Sigmas at evenly spaced timesteps."""
    first, last = (model.sigma_to_t(torch.tensor(sigma)) for sigma in (high, low))
    return [model.t_to_sigma(time) for time in torch.linspace(first, last, count)]


def _align_your_steps(n, low, high, model):
    published = np.arange(len(AYS_SD15))
    return np.exp(np.interp(np.linspace(0, published[-1], n), published, np.log(AYS_SD15)))


def _beta(n, low, high, model):
    """At even quantiles of a beta distribution (arXiv 2407.12173)."""
    return low + (high - low) * beta.ppf(np.linspace(1, 0, n), 0.6, 0.6)


def _kl_optimal(n, low, high, model):
    """Even in the angle whose tangent sigma is (Align Your Steps, arXiv 2404.14507); the last one is not 0."""
    first, last = (torch.tensor(sigma).atan() for sigma in (high, low))
    return (first + torch.linspace(0, 1, n + 1) * (last - first)).tan()


FUNCTIONS = {
    "Automatic": None,  # what the sampler prefers
    "Uniform": lambda n, low, high, model: model.get_sigmas(n),
    "Karras": lambda n, low, high, model: sampling.get_sigmas_karras(n, low, high),
    "Exponential": lambda n, low, high, model: sampling.get_sigmas_exponential(n, low, high),
    "Polyexponential": lambda n, low, high, model: sampling.get_sigmas_polyexponential(n, low, high),
    "SGM Uniform": _ending_in_0(lambda n, low, high, model: _times(model, low, high, n + 1)[:-1]),
    "KL Optimal": _kl_optimal,
    "Align Your Steps": _ending_in_0(_align_your_steps),
    "Simple": _ending_in_0(lambda n, low, high, model: model.sigmas.flip(0)[torch.arange(n) * len(model.sigmas) // n]),
    "Normal": _ending_in_0(lambda n, low, high, model: _times(model, low, high, n)),
    "DDIM": _ending_in_0(lambda n, low, high, model: model.sigmas[1 :: max(len(model.sigmas) // n, 1)].flip(0)),
    "Beta": _ending_in_0(_beta),
}
schedulers = [Scheduler(label.lower().replace(" ", "_"), label, function) for label, function in FUNCTIONS.items()]
schedulers_map = {name: one for one in schedulers for name in (one.name, one.label)}


class KDiffusionSampler(Sampler):
    def __init__(self, function, sd_model):
        super().__init__(getattr(sampling, f"sample_{function}"), CFGDenoiser(self, external.CompVisDenoiser(sd_model)))
        self.range = self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()

    def get_sigmas(self, p, steps):
        """[steps + 1] on the CPU, by the scheduler that `p` names or the sampler prefers."""
        own, params = self.config.options, p.extra_generation_params
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        scheduler = schedulers_map.get(own.get("scheduler") if name == "Automatic" else name)
        count = steps + (drop := own.get("discard_next_to_last_sigma", False))
        if scheduler is None or scheduler.function is None:
            sigmas = self.model_wrap.get_sigmas(count)
        else:
            if not p.is_hr_pass:
                params["Schedule type"] = scheduler.label
            elif params.get("Schedule type") != scheduler.label:
                params["Hires schedule type"] = scheduler.label
            sigmas = scheduler.function(count, *self.range, self.model_wrap)
        keep = [number for number in range(len(sigmas)) if not drop or number != len(sigmas) - 2]
        return sigmas[keep].cpu()

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
        return start, self._arguments(p, start, sigmas, sigmas, self.range)

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
    alphas = property(lambda self: self.inner_model.inner_model.alphas_cumprod)

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
        super().__init__(ddim, CFGDenoiserTimesteps(self, PredictsNoise(sd_model)))

    def _timesteps(self, steps):
        return torch.arange(1000, device=devices.device)[:: 1000 // steps].add(1).clamp(max=999)

    def from_noise(self, p, x, steps):
        return x, {"timesteps": self._timesteps(steps)}

    def from_latent(self, p, x, noise, steps, made):
        times = self._timesteps(steps)
        alpha = shared.sd_model.alphas_cumprod[times[made]]
        return alpha.sqrt() * x + (1 - alpha).sqrt() * noise, {"timesteps": times[:made]}


KARRAS, EXPONENTIAL, SECOND = {"scheduler": "karras"}, {"scheduler": "exponential"}, {"second_order": True}
BROWN, HEUN, DISCARD = {"brownian_noise": True}, {"solver_type": "heun"}, {"discard_next_to_last_sigma": True}
TABLE = {  # k-diffusion's function, and what the sampler wishes
    "DPM++ 2M": ("dpmpp_2m", KARRAS), "DPM++ SDE": ("dpmpp_sde", KARRAS | SECOND | BROWN),
    "DPM++ 2M SDE": ("dpmpp_2m_sde", EXPONENTIAL | BROWN),
    "DPM++ 2M SDE Heun": ("dpmpp_2m_sde", EXPONENTIAL | BROWN | HEUN),
    "DPM++ 2S a": ("dpmpp_2s_ancestral", KARRAS | SECOND),
    "DPM++ 3M SDE": ("dpmpp_3m_sde", EXPONENTIAL | DISCARD | BROWN),
    "Euler a": ("euler_ancestral", {}), "Euler": ("euler", {}), "LMS": ("lms", {}), "Heun": ("heun", SECOND),
    "DPM2": ("dpm_2", KARRAS | DISCARD | SECOND), "DPM2 a": ("dpm_2_ancestral", KARRAS | DISCARD | SECOND),
    "DPM fast": ("dpm_fast", {}), "DPM adaptive": ("dpm_adaptive", {}),
}  # fmt: skip
all_samplers_map = {
    label: SamplerData(label, functools.partial(KDiffusionSampler, function), options)
    for label, (function, options) in TABLE.items()
}
all_samplers_map["DDIM"] = SamplerData("DDIM", CompVisSampler, {})


def create_sampler(name, model):
    """A sampler of its own for one sampling. The sigma table is made from `model.alphas_cumprod` as it is now."""
    config = all_samplers_map[name]
    sampler = config.constructor(model)
    sampler.config = config
    return sampler


def get_sampler_and_scheduler(sampler_name, scheduler_name):
    """The names where they are known, else the first sampler's and "Automatic"."""
    sampler = all_samplers_map.get(sampler_name, all_samplers_map["DPM++ 2M"])
    scheduler = schedulers_map.get(scheduler_name)
    return sampler.name, scheduler.label if scheduler else "Automatic"
