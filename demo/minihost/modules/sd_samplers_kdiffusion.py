"""The samplers of k-diffusion."""
import inspect

import k_diffusion.external
import k_diffusion.sampling
import torch
from modules import devices, sd_samplers_cfg_denoiser, sd_samplers_common, sd_samplers_extra, sd_schedulers, shared
from modules.script_callbacks import ExtraNoiseParams, extra_noise_callback
from modules.sd_samplers_cfg_denoiser import CFGDenoiser  # noqa: F401
from modules.shared import opts

_BROWNIAN, _KARRAS, _EXPONENTIAL = {"brownian_noise": True}, {"scheduler": "karras"}, {"scheduler": "exponential"}
_SECOND, _ENSD, _DISCARD = {"second_order": True}, {"uses_ensd": True}, {"discard_next_to_last_sigma": True}
samplers_k_diffusion = [
    ("DPM++ 2M", "sample_dpmpp_2m", ["k_dpmpp_2m"], {**_KARRAS}),
    ("DPM++ SDE", "sample_dpmpp_sde", ["k_dpmpp_sde"], {**_KARRAS, **_SECOND, **_BROWNIAN}),
    ("DPM++ 2M SDE", "sample_dpmpp_2m_sde", ["k_dpmpp_2m_sde"], {**_EXPONENTIAL, **_BROWNIAN}),
    ("DPM++ 2M SDE Heun", "sample_dpmpp_2m_sde", ["k_dpmpp_2m_sde_heun"], {**_EXPONENTIAL, **_BROWNIAN, "solver_type": "heun"}),
    ("DPM++ 2S a", "sample_dpmpp_2s_ancestral", ["k_dpmpp_2s_a"], {**_KARRAS, **_ENSD, **_SECOND}),
    ("DPM++ 3M SDE", "sample_dpmpp_3m_sde", ["k_dpmpp_3m_sde"], {**_EXPONENTIAL, **_DISCARD, **_BROWNIAN}),
    ("Euler a", "sample_euler_ancestral", ["k_euler_a", "k_euler_ancestral"], {**_ENSD}),
    ("Euler", "sample_euler", ["k_euler"], {}),
    ("LMS", "sample_lms", ["k_lms"], {}),
    ("Heun", "sample_heun", ["k_heun"], {**_SECOND}),
    ("DPM2", "sample_dpm_2", ["k_dpm_2"], {**_KARRAS, **_DISCARD, **_SECOND}),
    ("DPM2 a", "sample_dpm_2_ancestral", ["k_dpm_2_a"], {**_KARRAS, **_DISCARD, **_ENSD, **_SECOND}),
    ("DPM fast", "sample_dpm_fast", ["k_dpm_fast"], {**_ENSD}),
    ("DPM adaptive", "sample_dpm_adaptive", ["k_dpm_ad"], {**_ENSD}),
    ("Restart", sd_samplers_extra.restart_sampler, ["restart"], {**_KARRAS, **_SECOND}),
]
samplers_data_k_diffusion = [
    sd_samplers_common.SamplerData(label, lambda model, funcname=funcname: KDiffusionSampler(funcname, model), aliases, options)
    for label, funcname, aliases, options in samplers_k_diffusion if callable(funcname) or hasattr(k_diffusion.sampling, funcname)]
k_diffusion_samplers_map = {data.name: data for data in samplers_data_k_diffusion}

_CHURN = ["s_churn", "s_tmin", "s_tmax", "s_noise"]
sampler_extra_params = {
    **dict.fromkeys(("sample_euler", "sample_heun", "sample_dpm_2"), _CHURN),
    **dict.fromkeys(("sample_dpm_fast", "sample_dpm_2_ancestral", "sample_dpmpp_2s_ancestral", "sample_dpmpp_sde", "sample_dpmpp_2m_sde",
                     "sample_dpmpp_3m_sde"), ["s_noise"]),
}


class CFGDenoiserKDiffusion(sd_samplers_cfg_denoiser.CFGDenoiser):
    @property
    def inner_model(self):
        if self.model_wrap is None:
            kind = "CompVisVDenoiser" if shared.sd_model.parameterization == "v" else "CompVisDenoiser"
            self.model_wrap = getattr(k_diffusion.external, kind)(shared.sd_model, quantize=opts.enable_quantization)
        return self.model_wrap


class KDiffusionSampler(sd_samplers_common.Sampler):
    def __init__(self, funcname, sd_model, options=None):
        super().__init__(funcname)
        self.extra_params = sampler_extra_params.get(funcname, [])
        self.options = options or {}
        self.func = funcname if callable(funcname) else getattr(k_diffusion.sampling, funcname)
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_sigmas(self, p, steps):
        params = p.extra_generation_params
        discard = self.config is not None and self.config.options.get("discard_next_to_last_sigma", False)
        if opts.always_discard_next_to_last_sigma and not discard:
            discard = params["Discard penultimate sigma"] = True
        steps += discard
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        scheduler = sd_schedulers.schedulers_map.get(self.config.options.get("scheduler") if name == "Automatic" else name)
        lowest, highest = self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()
        if p.sampler_noise_scheduler_override:
            sigmas = p.sampler_noise_scheduler_override(steps)
        elif scheduler is None or scheduler.function is None:
            sigmas = self.model_wrap.get_sigmas(steps)
        else:
            limits = (0.1, 10) if opts.use_old_karras_scheduler_sigmas else (lowest, highest)
            kwargs = dict(zip(("sigma_min", "sigma_max"), limits))
            if not p.is_hr_pass:
                params["Schedule type"] = scheduler.label
            elif scheduler.label != params.get("Schedule type"):
                params["Hires schedule type"] = scheduler.label
            for key, own, label in (("sigma_min", lowest, "Schedule min sigma"), ("sigma_max", highest, "Schedule max sigma")):
                wanted = getattr(opts, key)
                if wanted not in (0, own):
                    kwargs[key] = params[label] = wanted
            if scheduler.default_rho != -1 and opts.rho not in (0, scheduler.default_rho):
                kwargs["rho"] = params["Schedule rho"] = opts.rho
            if scheduler.need_inner_model:
                kwargs["inner_model"] = self.model_wrap
            sigmas = scheduler.function(n=steps, **kwargs, device=devices.cpu)
        return (torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas).cpu()

    def _arguments(self, p, x, sigmas, noise_sigmas, ends):
        """Keyword arguments of the sampling function, by what it accepts."""
        accepted, kwargs = inspect.signature(self.func).parameters, self.initialize(p)
        offered = {"sigma_min": ends[0], "sigma_max": ends[1], "n": len(sigmas) - 1, "sigma_sched": sigmas, "sigmas": sigmas}
        kwargs.update((key, value) for key, value in offered.items() if key in accepted)
        if self.config.options.get("brownian_noise", False):
            kwargs["noise_sampler"] = self.create_noise_sampler(x, noise_sigmas, p)
        if self.config.options.get("solver_type") == "heun":
            kwargs["solver_type"] = "heun"
        return kwargs

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        steps, t_enc = sd_samplers_common.setup_img2img_steps(p, steps)
        sigmas = self.get_sigmas(p, steps)
        part = sigmas[steps - t_enc - 1:]
        xi = x + noise * part[0]
        if opts.img2img_extra_noise > 0:
            p.extra_generation_params["Extra noise"] = opts.img2img_extra_noise
            params = ExtraNoiseParams(noise, x, xi)
            extra_noise_callback(params)
            xi += params.noise * opts.img2img_extra_noise
        kwargs = self._arguments(p, x, part, sigmas, (part[-2], part[0]))
        self.model_wrap_cfg.init_latent = self.last_latent = x
        self.sampler_extra_args = self._extra_args(p, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(xi, t_enc + 1, kwargs)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        steps = steps or p.steps
        sigmas = self.get_sigmas(p, steps)
        if opts.sgm_noise_multiplier:
            p.extra_generation_params["SGM noise multiplier"] = True
            x = x * torch.sqrt(1 + sigmas[0] ** 2)
        else:
            x = x * sigmas[0]
        ends = self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()
        kwargs = self._arguments(p, x, sigmas, sigmas, ends)
        if "n" in kwargs:
            kwargs["n"] = steps
        self.last_latent = x
        self.sampler_extra_args = self._extra_args(p, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(x, steps, kwargs)
