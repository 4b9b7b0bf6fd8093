"""The samplers of k-diffusion on the host's sigma tables."""

import functools
import inspect
import re

import k_diffusion.external
import k_diffusion.sampling
from modules import sd_schedulers
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, SamplerData


class CFGDenoiserKDiffusion(CFGDenoiser):
    def wrapped(self, model):
        kind = "CompVisVDenoiser" if model.parameterization == "v" else "CompVisDenoiser"
        return getattr(k_diffusion.external, kind)(model)


class KDiffusionSampler(Sampler):
    def __init__(self, function, sd_model, options=None):
        super().__init__(getattr(k_diffusion.sampling, f"sample_{function}"), CFGDenoiserKDiffusion(self), options)

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
        taken = inspect.signature(self.func).parameters.keys() & tables.keys()
        arguments = {name: tables[name] for name in taken}
        if self.options.get("brownian_noise"):
            seeds = p.all_seeds[p.batch_size * p.iteration :][: p.batch_size]
            ends = whole[whole > 0].min(), whole.max()
            arguments["noise_sampler"] = k_diffusion.sampling.BrownianTreeNoiseSampler(x, *ends, seed=seeds)
        if "solver_type" in self.options:
            arguments["solver_type"] = self.options["solver_type"]
        return arguments

    def from_noise(self, p, x, steps):
        sigmas = self.get_sigmas(p, steps)
        start = x * sigmas[0]
        return start, self._arguments(p, start, sigmas, sigmas, self._range())

    def from_latent(self, p, x, noise, steps, made):
        whole = self.get_sigmas(p, steps)
        sigmas = whole[steps - made - 1 :]
        return noise * sigmas[0] + x, self._arguments(p, x, sigmas, whole, (sigmas[-2], sigmas[0]))


OPTIONS = {"brown": "brownian_noise", "second": "second_order", "discard": "discard_next_to_last_sigma"}
# label, k-diffusion's function, its preferred scheduler or "-", keys of OPTIONS; "heun" is a solver
TABLE = """
    DPM++ 2M           dpmpp_2m            karras
    DPM++ SDE          dpmpp_sde           karras       second brown
    DPM++ 2M SDE       dpmpp_2m_sde        exponential  brown
    DPM++ 2M SDE Heun  dpmpp_2m_sde        exponential  brown heun
    DPM++ 2S a         dpmpp_2s_ancestral  karras       second
    DPM++ 3M SDE       dpmpp_3m_sde        exponential  discard brown
    Euler a            euler_ancestral     -
    Euler              euler               -
    LMS                lms                 -
    Heun               heun                -            second
    DPM2               dpm_2               karras       discard second
    DPM2 a             dpm_2_ancestral     karras       discard second
    DPM fast           dpm_fast            -
    DPM adaptive       dpm_adaptive        -"""


def _data(label, function, scheduler, words=""):
    options = {OPTIONS[word]: True for word in words.split() if word in OPTIONS}
    options |= {"scheduler": scheduler} if scheduler != "-" else {}
    options |= {"solver_type": "heun"} if "heun" in words else {}
    return SamplerData(label, functools.partial(KDiffusionSampler, function, options=options), [], options)


SAMPLERS = [_data(*re.split(r"\s{2,}", line.strip())) for line in TABLE.strip().splitlines()]
