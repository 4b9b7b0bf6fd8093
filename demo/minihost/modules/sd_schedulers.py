"""Noise schedules of the k-diffusion samplers by name: n steps give n + 1 sigmas, falling, the last one 0."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import torch
from k_diffusion import sampling
from modules import shared
from scipy.stats import beta as beta_distribution


@dataclasses.dataclass(frozen=True)
class Scheduler:
    name: str
    label: str
    function: Callable | None
    default_rho: float = -1                 # -1: it has none
    need_inner_model: bool = False          # it is given k-diffusion's wrapper of the model
    aliases: list | None = None


def _table(sigmas: Iterable, device) -> torch.Tensor:
    return torch.tensor([float(sigma) for sigma in sigmas] + [0.0], device=device)


def _uniform(n, sigma_min, sigma_max, inner_model, device):
    return inner_model.get_sigmas(n).to(device)


def _even_times(n, sigma_min, sigma_max, inner_model, device, *, ends_early: bool):
    """Sigmas at evenly spaced timesteps; `ends_early` leaves the last of n + 1 out."""
    first, last = (inner_model.sigma_to_t(torch.tensor(sigma)) for sigma in (sigma_max, sigma_min))
    times = torch.linspace(first, last, n + ends_early)[:n]
    return _table(map(inner_model.t_to_sigma, times), device)


def _sgm_uniform(n, sigma_min, sigma_max, inner_model, device):
    return _even_times(n, sigma_min, sigma_max, inner_model, device, ends_early=True)


def _normal(n, sigma_min, sigma_max, inner_model, device):
    return _even_times(n, sigma_min, sigma_max, inner_model, device, ends_early=False)


def _simple(n, sigma_min, sigma_max, inner_model, device):
    every = len(inner_model.sigmas) / n
    return _table((inner_model.sigmas[-1 - int(every * i)] for i in range(n)), device)


def _ddim(n, sigma_min, sigma_max, inner_model, device):
    stride = max(len(inner_model.sigmas) // n, 1)
    return _table(inner_model.sigmas[1::stride].flip(0), device)


def _kl_optimal(n, sigma_min, sigma_max, device):
    """Straight in the angle whose tangent sigma is (Align Your Steps, arXiv 2404.14507)."""
    place = torch.linspace(0, 1, n + 1, device=device)
    low, high = (torch.tensor(sigma, device=device).atan() for sigma in (sigma_min, sigma_max))
    return (high + place * (low - high)).tan()


AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)   # published, ten steps


def _align_your_steps(n, sigma_min, sigma_max, device):
    places = np.linspace(0, len(AYS_SD15) - 1, n)
    return _table(np.exp(np.interp(places, range(len(AYS_SD15)), np.log(AYS_SD15))), device)


def _beta(n, sigma_min, sigma_max, inner_model, device):
    """Sigmas at even quantiles of a beta distribution (arXiv 2407.12173)."""
    shape = shared.opts.beta_dist_alpha, shared.opts.beta_dist_beta
    return _table(sigma_min + (sigma_max - sigma_min) * beta_distribution.ppf(np.linspace(1, 0, n), *shape), device)


schedulers = [
    Scheduler("automatic", "Automatic", None),
    Scheduler("uniform", "Uniform", _uniform, need_inner_model=True),
    Scheduler("karras", "Karras", sampling.get_sigmas_karras, default_rho=7.0),
    Scheduler("exponential", "Exponential", sampling.get_sigmas_exponential),
    Scheduler("polyexponential", "Polyexponential", sampling.get_sigmas_polyexponential, default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", _sgm_uniform, need_inner_model=True, aliases=["SGMUniform"]),
    Scheduler("kl_optimal", "KL Optimal", _kl_optimal),
    Scheduler("align_your_steps", "Align Your Steps", _align_your_steps),
    Scheduler("simple", "Simple", _simple, need_inner_model=True),
    Scheduler("normal", "Normal", _normal, need_inner_model=True),
    Scheduler("ddim", "DDIM", _ddim, need_inner_model=True),
    Scheduler("beta", "Beta", _beta, need_inner_model=True),
]
schedulers_map = {name: one for one in schedulers for name in (one.name, one.label)}
