"""The samplers of k-diffusion on the host's sigma tables."""
from __future__ import annotations

import functools

import k_diffusion.external
import k_diffusion.sampling
from modules import devices, sd_schedulers, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, SamplerData, img2img_steps
from modules.shared import opts

CHURN, NOISE = ("s_churn", "s_tmin", "s_tmax", "s_noise"), ("s_noise",)


class CFGDenoiserKDiffusion(CFGDenoiser):
    def wrapped(self, model):
        kind = "CompVisVDenoiser" if model.parameterization == "v" else "CompVisDenoiser"
        return getattr(k_diffusion.external, kind)(model)


class KDiffusionSampler(Sampler):
    def __init__(self, function, numbers, sd_model, options=None):
        super().__init__(getattr(k_diffusion.sampling, f"sample_{function}"), CFGDenoiserKDiffusion(self), options)
        self.numbers = numbers

    def get_sigmas(self, p, steps):
        """[steps + 1] on the CPU, by the scheduler that `p` names or the sampler prefers."""
        own, params = self.config.options, p.extra_generation_params
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        scheduler = sd_schedulers.schedulers_map.get(own.get("scheduler") if name == "Automatic" else name)
        drop = own.get("discard_next_to_last_sigma", False)
        if opts.always_discard_next_to_last_sigma and not drop:
            drop = params["Discard penultimate sigma"] = True
        if p.sampler_noise_scheduler_override is not None:
            sigmas = p.sampler_noise_scheduler_override(steps + drop)
        elif scheduler is None or scheduler.function is None:
            sigmas = self.model_wrap.get_sigmas(steps + drop)
        else:
            if not p.is_hr_pass:
                params["Schedule type"] = scheduler.label
            elif params.get("Schedule type") != scheduler.label:
                params["Hires schedule type"] = scheduler.label
            sigmas = scheduler.function(n=steps + drop, device=devices.cpu, **self._wishes(scheduler, params))
        keep = [number for number in range(len(sigmas)) if not drop or number != len(sigmas) - 2]
        return sigmas[keep].cpu()

    def _range(self):
        return self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()

    def _wishes(self, scheduler, params):
        """Arguments of the scheduler: the model's range and what the settings say instead."""
        arguments = dict(zip(("sigma_min", "sigma_max"), self._range()))
        usual = {**arguments, **({"rho": scheduler.default_rho} if scheduler.default_rho != -1 else {})}
        for key, word in (("sigma_min", "min sigma"), ("sigma_max", "max sigma"), ("rho", "rho")):
            if key in usual and getattr(opts, key) not in (0, usual[key]):
                arguments[key] = params[f"Schedule {word}"] = getattr(opts, key)
        if scheduler.need_inner_model:
            arguments["inner_model"] = self.model_wrap
        return arguments

    def _arguments(self, p, x, sigmas, whole, limits):
        """Keyword arguments of `func`: of the sigma tables, those it takes."""
        arguments = self.initialize(p)
        tables = {"sigmas": sigmas, "sigma_min": limits[0], "sigma_max": limits[1], "n": len(sigmas) - 1}
        arguments.update((name, value) for name, value in tables.items() if self.accepts(name))
        if self.options.get("brownian_noise"):
            seeds = p.all_seeds[p.batch_size * p.iteration:][:p.batch_size]
            arguments["noise_sampler"] = k_diffusion.sampling.BrownianTreeNoiseSampler(
                x, whole[whole > 0].min(), whole.max(), seed=seeds)
        if "solver_type" in self.options:
            arguments["solver_type"] = self.options["solver_type"]
        return arguments

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        count = steps or p.steps
        sigmas = self.get_sigmas(p, count)
        start = x * sigmas[0]
        arguments = self._arguments(p, start, sigmas, sigmas, self._range())
        if "n" in arguments:
            arguments["n"] = count
        return self.run(start, start, count, (conditioning, unconditional_conditioning, image_conditioning), arguments)

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        total, made = img2img_steps(p, steps)
        whole = self.get_sigmas(p, total)
        sigmas = whole[total - made - 1:]
        arguments = self._arguments(p, x, sigmas, whole, (sigmas[-2], sigmas[0]))
        self.model_wrap_cfg.init_latent = x
        conds = conditioning, unconditional_conditioning, image_conditioning
        return self.run(noise * sigmas[0] + x, x, made + 1, conds, arguments)


def _data(label, function, numbers, aliases, options):
    made = functools.partial(KDiffusionSampler, function, numbers, options=options)
    return SamplerData(label, made, [f"k_{alias}" for alias in aliases.split()], options)


def _options(words: str, scheduler: str | None = None) -> dict:
    flags = {"brown": "brownian_noise", "second": "second_order", "ensd": "uses_ensd", "discard": "discard_next_to_last_sigma"}
    made = {flags[word]: True for word in words.split() if word in flags}
    return {**({"scheduler": scheduler} if scheduler else {}), **made, **({"solver_type": "heun"} if "heun" in words else {})}


SAMPLERS = [_data(*row) for row in (
    ("DPM++ 2M", "dpmpp_2m", (), "dpmpp_2m", _options("", "karras")),
    ("DPM++ SDE", "dpmpp_sde", NOISE, "dpmpp_sde", _options("second brown", "karras")),
    ("DPM++ 2M SDE", "dpmpp_2m_sde", NOISE, "dpmpp_2m_sde", _options("brown", "exponential")),
    ("DPM++ 2M SDE Heun", "dpmpp_2m_sde", NOISE, "dpmpp_2m_sde_heun", _options("brown heun", "exponential")),
    ("DPM++ 2S a", "dpmpp_2s_ancestral", NOISE, "dpmpp_2s_a", _options("ensd second", "karras")),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", NOISE, "dpmpp_3m_sde", _options("discard brown", "exponential")),
    ("Euler a", "euler_ancestral", (), "euler_a euler_ancestral", _options("ensd")),
    ("Euler", "euler", CHURN, "euler", {}),
    ("LMS", "lms", (), "lms", {}),
    ("Heun", "heun", CHURN, "heun", _options("second")),
    ("DPM2", "dpm_2", CHURN, "dpm_2", _options("discard second", "karras")),
    ("DPM2 a", "dpm_2_ancestral", NOISE, "dpm_2_a", _options("discard ensd second", "karras")),
    ("DPM fast", "dpm_fast", NOISE, "dpm_fast", _options("ensd")),
    ("DPM adaptive", "dpm_adaptive", (), "dpm_ad", _options("ensd")))]
