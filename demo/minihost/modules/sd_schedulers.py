"""Noise schedules of the k-diffusion samplers by name: n steps give n + 1 sigmas, falling, the last one 0."""

from collections import namedtuple

import numpy as np
import torch
from k_diffusion import sampling
from scipy.stats import beta

Scheduler = namedtuple("Scheduler", "name label function")  # function(n, lowest sigma, highest sigma, model)
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
    "Simple": _ending_in_0(
        lambda n, low, high, model: model.sigmas.flip(0)[(torch.arange(n) * len(model.sigmas)) // n]
    ),
    "Normal": _ending_in_0(lambda n, low, high, model: _times(model, low, high, n)),
    "DDIM": _ending_in_0(lambda n, low, high, model: model.sigmas[1 :: max(len(model.sigmas) // n, 1)].flip(0)),
    "Beta": _ending_in_0(_beta),
}
schedulers = [Scheduler(label.lower().replace(" ", "_"), label, function) for label, function in FUNCTIONS.items()]
schedulers_map = {name: one for one in schedulers for name in (one.name, one.label)}
