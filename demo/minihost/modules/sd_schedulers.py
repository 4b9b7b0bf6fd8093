"""Noise schedules for the k-diffusion samplers: n steps -> n + 1 sigmas, the last 0."""
import dataclasses

import k_diffusion.sampling
import numpy as np
import torch
from modules import shared
from scipy import stats


def to_d(x, sigma, denoised):
    return (x - denoised) / sigma


k_diffusion.sampling.to_d = to_d


@dataclasses.dataclass
class Scheduler:
    name: str
    label: str
    function: any

    default_rho: float = -1
    need_inner_model: bool = False
    aliases: list = None


def _ending_in_zero(sigmas, device):
    return torch.tensor([*map(float, sigmas), 0.0], device=device)


def _at_times(inner_model, times, device):
    return _ending_in_zero([inner_model.t_to_sigma(t) for t in times], device)


def _ends(inner_model, sigma_min, sigma_max):
    return inner_model.sigma_to_t(torch.tensor(sigma_max)), inner_model.sigma_to_t(torch.tensor(sigma_min))


def uniform(n, sigma_min, sigma_max, inner_model, device):
    sigmas = inner_model.get_sigmas(n)
    return sigmas.to(device=device)


def sgm_uniform(n, sigma_min, sigma_max, inner_model, device):
    first, last = _ends(inner_model, sigma_min, sigma_max)
    return _at_times(inner_model, torch.linspace(first, last, n + 1)[:-1], device)


def get_align_your_steps_sigmas(n, sigma_min, sigma_max, device):
    """The published ten-step table for SD1.5 (Align Your Steps, 2024), interpolated in the logarithm."""
    table = np.array([14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029])
    if n == len(table):
        return _ending_in_zero(table, device)
    places = np.linspace(0, 1, n)
    return _ending_in_zero(np.exp(np.interp(places, np.linspace(0, 1, len(table)), np.log(table))), device)


def kl_optimal(n, sigma_min, sigma_max, device):
    part = torch.arange(n + 1, device=device) / n
    low, high = torch.atan(torch.tensor(sigma_min, device=device)), torch.atan(torch.tensor(sigma_max, device=device))
    return torch.tan(part * low + (1 - part) * high)


def simple_scheduler(n, sigma_min, sigma_max, inner_model, device):
    stride = len(inner_model.sigmas) / n
    return _ending_in_zero([inner_model.sigmas[-1 - int(i * stride)] for i in range(n)], device)


def normal_scheduler(n, sigma_min, sigma_max, inner_model, device, sgm=False, floor=False):
    first, last = _ends(inner_model, sigma_min, sigma_max)
    return _at_times(inner_model, torch.linspace(first, last, n + 1)[:-1] if sgm else torch.linspace(first, last, n), device)


def ddim_scheduler(n, sigma_min, sigma_max, inner_model, device):
    count = len(inner_model.sigmas)
    return _ending_in_zero(inner_model.sigmas[range(1, count, max(count // n, 1))].flip(0), device)


def beta_scheduler(n, sigma_min, sigma_max, inner_model, device):
    """Sigmas at quantiles of a beta distribution (arXiv 2407.12173)."""
    quantiles = stats.beta.ppf(1 - np.linspace(0, 1, n), shared.opts.beta_dist_alpha, shared.opts.beta_dist_beta)
    return _ending_in_zero(sigma_min + quantiles * (sigma_max - sigma_min), device)


_KARRAS = {"default_rho": 7.0}
_POLYEXPONENTIAL = {"default_rho": 1.0}
_OF_MODEL = {"need_inner_model": True}
schedulers = [Scheduler(*row[:3], **row[3]) for row in (
    ("automatic", "Automatic", None, {}),
    ("uniform", "Uniform", uniform, _OF_MODEL),
    ("karras", "Karras", k_diffusion.sampling.get_sigmas_karras, _KARRAS),
    ("exponential", "Exponential", k_diffusion.sampling.get_sigmas_exponential, {}),
    ("polyexponential", "Polyexponential", k_diffusion.sampling.get_sigmas_polyexponential, _POLYEXPONENTIAL),
    ("sgm_uniform", "SGM Uniform", sgm_uniform, {**_OF_MODEL, "aliases": ["SGMUniform"]}),
    ("kl_optimal", "KL Optimal", kl_optimal, {}),
    ("align_your_steps", "Align Your Steps", get_align_your_steps_sigmas, {}),
    ("simple", "Simple", simple_scheduler, _OF_MODEL),
    ("normal", "Normal", normal_scheduler, _OF_MODEL),
    ("ddim", "DDIM", ddim_scheduler, _OF_MODEL),
    ("beta", "Beta", beta_scheduler, _OF_MODEL),
)]
schedulers_map = {key: scheduler for scheduler in schedulers for key in (scheduler.name, scheduler.label)}
