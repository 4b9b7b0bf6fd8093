"""Noise schedules of the k-diffusion samplers by name: n steps give n + 1 sigmas, falling, the last one 0."""
from collections import namedtuple

import numpy as np
import torch
from k_diffusion import sampling
from scipy.stats import beta

# default_rho -1: it has none; need_inner_model: the function is given k-diffusion's wrapper of the model
Scheduler = namedtuple("Scheduler", "name label function default_rho need_inner_model aliases")
AYS_SD15 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)   # published, ten steps


def _table(name, label, sigmas_of, rho=-1, aliases=None, *, model=True):
    """A scheduler from a function that gives the n sigmas before the last one."""
    def function(n, sigma_min, sigma_max, device="cpu", inner_model=None):
        return torch.tensor([*map(float, sigmas_of(n, sigma_min, sigma_max, inner_model)), 0.0], device=device)

    return Scheduler(name, label, function, rho, model, aliases)


def _times(model, low, high, count):
    """Sigmas at evenly spaced timesteps."""
    first, last = (model.sigma_to_t(torch.tensor(sigma)) for sigma in (high, low))
    return [model.t_to_sigma(time) for time in torch.linspace(first, last, count)]


def kl_optimal(n, sigma_min, sigma_max, device="cpu"):
    """Even in the angle whose tangent sigma is (Align Your Steps, arXiv 2404.14507)."""
    low, high = (torch.tensor(sigma, device=device).atan() for sigma in (sigma_min, sigma_max))
    return (high + torch.linspace(0, 1, n + 1, device=device) * (low - high)).tan()


schedulers = [
    Scheduler("automatic", "Automatic", None, -1, False, None),
    _table("uniform", "Uniform", lambda n, low, high, model: model.get_sigmas(n)[:-1]),
    Scheduler("karras", "Karras", sampling.get_sigmas_karras, 7.0, False, None),
    Scheduler("exponential", "Exponential", sampling.get_sigmas_exponential, -1, False, None),
    Scheduler("polyexponential", "Polyexponential", sampling.get_sigmas_polyexponential, 1.0, False, None),
    _table("sgm_uniform", "SGM Uniform", lambda n, low, high, model: _times(model, low, high, n + 1)[:-1], -1, ["SGMUniform"]),
    Scheduler("kl_optimal", "KL Optimal", kl_optimal, -1, False, None),
    _table("align_your_steps", "Align Your Steps", lambda n, low, high, model: np.exp(np.interp(
        np.linspace(0, len(AYS_SD15) - 1, n), range(len(AYS_SD15)), np.log(AYS_SD15))), model=False),
    _table("simple", "Simple", lambda n, low, high, model: [model.sigmas[-1 - int(len(model.sigmas) / n * i)] for i in range(n)]),
    _table("normal", "Normal", lambda n, low, high, model: _times(model, low, high, n)),
    _table("ddim", "DDIM", lambda n, low, high, model: model.sigmas[1::max(len(model.sigmas) // n, 1)].flip(0)),
    # at even quantiles of a beta distribution (arXiv 2407.12173)
    _table("beta", "Beta", lambda n, low, high, model: low + (high - low) * beta.ppf(np.linspace(1, 0, n), 0.6, 0.6))]
schedulers_map = {name: one for one in schedulers for name in (one.name, one.label)}
