"""Noise schedules of the k-diffusion samplers by name: n steps give n + 1 sigmas, falling, the last one 0."""
import functools
from collections import namedtuple

import numpy as np
import torch
from k_diffusion import sampling
from scipy.stats import beta

# default_rho -1: it has none; need_inner_model: the function is given k-diffusion's wrapper of the model
Scheduler = namedtuple("Scheduler", "name label function default_rho need_inner_model aliases", defaults=(-1, False, None))
AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)   # published, ten steps


def _table(function):
    """`function` gives the sigmas without the last one, which is 0."""
    @functools.wraps(function)
    def made(n, sigma_min, sigma_max, device="cpu", **model):
        return torch.tensor([*map(float, function(n, sigma_min, sigma_max, **model)), 0.0], device=device)

    return made


def _even_times(inner_model, sigma_max, sigma_min, n):
    first, last = (inner_model.sigma_to_t(torch.tensor(sigma)) for sigma in (sigma_max, sigma_min))
    return map(inner_model.t_to_sigma, torch.linspace(first, last, n))


@_table
def uniform(n, sigma_min, sigma_max, inner_model):
    return inner_model.get_sigmas(n)[:-1]


@_table
def sgm_uniform(n, sigma_min, sigma_max, inner_model):
    return list(_even_times(inner_model, sigma_max, sigma_min, n + 1))[:-1]


@_table
def normal(n, sigma_min, sigma_max, inner_model):
    return _even_times(inner_model, sigma_max, sigma_min, n)


@_table
def simple(n, sigma_min, sigma_max, inner_model):
    return (inner_model.sigmas[-1 - int(len(inner_model.sigmas) / n * i)] for i in range(n))


@_table
def ddim(n, sigma_min, sigma_max, inner_model):
    return inner_model.sigmas[1::max(len(inner_model.sigmas) // n, 1)].flip(0)


@_table
def align_your_steps(n, sigma_min, sigma_max):
    return np.exp(np.interp(np.linspace(0, len(AYS_SD15) - 1, n), range(len(AYS_SD15)), np.log(AYS_SD15)))


@_table
def by_beta(n, sigma_min, sigma_max, inner_model):
    """At even quantiles of a beta distribution (arXiv 2407.12173)."""
    return sigma_min + (sigma_max - sigma_min) * beta.ppf(np.linspace(1, 0, n), 0.6, 0.6)


def kl_optimal(n, sigma_min, sigma_max, device="cpu"):
    """Even in the angle whose tangent sigma is (Align Your Steps, arXiv 2404.14507)."""
    low, high = (torch.tensor(sigma, device=device).atan() for sigma in (sigma_min, sigma_max))
    return (high + torch.linspace(0, 1, n + 1, device=device) * (low - high)).tan()


schedulers = [Scheduler(*row) for row in (
    ("automatic", "Automatic", None), ("uniform", "Uniform", uniform, -1, True),
    ("karras", "Karras", sampling.get_sigmas_karras, 7.0), ("exponential", "Exponential", sampling.get_sigmas_exponential),
    ("polyexponential", "Polyexponential", sampling.get_sigmas_polyexponential, 1.0),
    ("sgm_uniform", "SGM Uniform", sgm_uniform, -1, True, ["SGMUniform"]), ("kl_optimal", "KL Optimal", kl_optimal),
    ("align_your_steps", "Align Your Steps", align_your_steps), ("simple", "Simple", simple, -1, True),
    ("normal", "Normal", normal, -1, True), ("ddim", "DDIM", ddim, -1, True), ("beta", "Beta", by_beta, -1, True))]
schedulers_map = {name: one for one in schedulers for name in (one.name, one.label)}
