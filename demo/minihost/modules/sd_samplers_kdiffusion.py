"""The samplers of k-diffusion."""
import inspect

import k_diffusion.external
import k_diffusion.sampling
from modules import devices, sd_samplers_cfg_denoiser, sd_samplers_common, sd_samplers_extra, sd_schedulers, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser  # noqa: F401
from modules.shared import opts

_BROWNIAN, _KARRAS, _EXPONENTIAL = {"brownian_noise": True}, {"scheduler": "karras"}, {"scheduler": "exponential"}
_SECOND, _ENSD, _DISCARD = {"second_order": True}, {"uses_ensd": True}, {"discard_next_to_last_sigma": True}
samplers_k_diffusion = [(label, "sample_" + function if isinstance(function, str) else function, aliases.split(), options)
                        for label, function, aliases, options in (
    ("DPM++ 2M", "dpmpp_2m", "k_dpmpp_2m", _KARRAS),
    ("DPM++ SDE", "dpmpp_sde", "k_dpmpp_sde", {**_KARRAS, **_SECOND, **_BROWNIAN}),
    ("DPM++ 2M SDE", "dpmpp_2m_sde", "k_dpmpp_2m_sde", {**_EXPONENTIAL, **_BROWNIAN}),
    ("DPM++ 2M SDE Heun", "dpmpp_2m_sde", "k_dpmpp_2m_sde_heun", {**_EXPONENTIAL, **_BROWNIAN, "solver_type": "heun"}),
    ("DPM++ 2S a", "dpmpp_2s_ancestral", "k_dpmpp_2s_a", {**_KARRAS, **_ENSD, **_SECOND}),
    ("DPM++ 3M SDE", "dpmpp_3m_sde", "k_dpmpp_3m_sde", {**_EXPONENTIAL, **_DISCARD, **_BROWNIAN}),
    ("Euler a", "euler_ancestral", "k_euler_a k_euler_ancestral", _ENSD),
    ("Euler", "euler", "k_euler", {}),
    ("LMS", "lms", "k_lms", {}),
    ("Heun", "heun", "k_heun", _SECOND),
    ("DPM2", "dpm_2", "k_dpm_2", {**_KARRAS, **_DISCARD, **_SECOND}),
    ("DPM2 a", "dpm_2_ancestral", "k_dpm_2_a", {**_KARRAS, **_DISCARD, **_ENSD, **_SECOND}),
    ("DPM fast", "dpm_fast", "k_dpm_fast", _ENSD),
    ("DPM adaptive", "dpm_adaptive", "k_dpm_ad", _ENSD),
    ("Restart", sd_samplers_extra.restart_sampler, "restart", {**_KARRAS, **_SECOND}),
)]

_CHURN = ["s_churn", "s_tmin", "s_tmax", "s_noise"]
sampler_extra_params = {
    **dict.fromkeys(("sample_euler", "sample_heun", "sample_dpm_2"), _CHURN),
    **dict.fromkeys(("sample_dpm_fast", "sample_dpm_2_ancestral", "sample_dpmpp_2s_ancestral", "sample_dpmpp_sde", "sample_dpmpp_2m_sde",
                     "sample_dpmpp_3m_sde"), ["s_noise"]),
}


class CFGDenoiserKDiffusion(sd_samplers_cfg_denoiser.CFGDenoiser):
    def _make_model(self):
        kind = {"v": "CompVisVDenoiser"}.get(shared.sd_model.parameterization, "CompVisDenoiser")
        return getattr(k_diffusion.external, kind)(shared.sd_model, quantize=opts.enable_quantization)


class KDiffusionSampler(sd_samplers_common.Sampler):
    def __init__(self, funcname, sd_model, options=None):
        super().__init__(funcname)
        if not callable(funcname):
            self.extra_params, self.func = sampler_extra_params.get(funcname, []), getattr(k_diffusion.sampling, funcname)
        self.options = options or {}
        self.model_wrap_cfg, self.model_wrap = sd_samplers_common._with_model(CFGDenoiserKDiffusion(self))

    def _limits(self):
        """The model's smallest and largest sigma."""
        return tuple(self.model_wrap.sigmas[i].item() for i in (0, -1))

    def _schedule_arguments(self, p, scheduler):
        """What the settings say to `scheduler`; whatever differs from its defaults goes into the infotext."""
        params, limits = p.extra_generation_params, self._limits()
        arguments = dict(zip(("sigma_min", "sigma_max"), (0.1, 10) if opts.use_old_karras_scheduler_sigmas else limits))
        if not p.is_hr_pass:
            params["Schedule type"] = scheduler.label
        elif scheduler.label != params.get("Schedule type"):
            params["Hires schedule type"] = scheduler.label
        own = {"sigma_min": limits[0], "sigma_max": limits[1]}
        if scheduler.default_rho != -1:
            own["rho"] = scheduler.default_rho
        for key, default in own.items():
            wanted, label = getattr(opts, key), {"sigma_min": "min sigma", "sigma_max": "max sigma", "rho": "rho"}[key]
            if wanted not in (0, default):
                arguments[key] = params[f"Schedule {label}"] = wanted
        if scheduler.need_inner_model:
            arguments["inner_model"] = self.model_wrap
        return arguments

    def get_sigmas(self, p, steps):
        """[steps + 1], on the CPU."""
        config, name = self.config.options if self.config else {}, (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        discard = config.get("discard_next_to_last_sigma", False)
        if opts.always_discard_next_to_last_sigma and not discard:
            discard = p.extra_generation_params["Discard penultimate sigma"] = True
        count = steps + discard
        scheduler = sd_schedulers.schedulers_map.get(config.get("scheduler") if name == "Automatic" else name)
        if p.sampler_noise_scheduler_override is not None:
            sigmas = p.sampler_noise_scheduler_override(count)
        elif scheduler is not None and scheduler.function is not None:
            sigmas = scheduler.function(n=count, device=devices.cpu, **self._schedule_arguments(p, scheduler))
        else:
            sigmas = self.model_wrap.get_sigmas(count)
        kept = [i for i in range(len(sigmas)) if not (discard and i == len(sigmas) - 2)]
        return sigmas[kept].cpu()

    def _arguments(self, p, x, sigmas, noise_sigmas, ends):
        """Keyword arguments of the sampling function, by what it accepts."""
        options = self.config.options
        offered = {"sigma_min": ends[0], "sigma_max": ends[1], "n": len(sigmas) - 1, "sigma_sched": sigmas, "sigmas": sigmas}
        kwargs = {**self.initialize(p), **{key: offered[key] for key in inspect.signature(self.func).parameters if key in offered}}
        if options.get("brownian_noise"):
            kwargs["noise_sampler"] = self.create_noise_sampler(x, noise_sigmas, p)
        if "solver_type" in options:
            kwargs["solver_type"] = options["solver_type"]
        return kwargs

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        total, start = sd_samplers_common.setup_img2img_steps(p, steps)
        whole = self.get_sigmas(p, total)
        sigmas = whole[total - start - 1:]
        noisy = self._with_extra_noise(p, x, noise, x + noise * sigmas[0], 1)
        kwargs = self._arguments(p, x, sigmas, whole, (sigmas[-2], sigmas[0]))
        self.model_wrap_cfg.init_latent = x
        self._guide(x, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(noisy, start + 1, kwargs)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        steps = steps or p.steps
        sigmas = self.get_sigmas(p, steps)
        scale = sigmas[0]
        if opts.sgm_noise_multiplier:
            p.extra_generation_params.update({"SGM noise multiplier": True})
            scale = (1 + scale ** 2).sqrt()
        noisy = x * scale
        kwargs = self._arguments(p, noisy, sigmas, sigmas, self._limits())
        if "n" in kwargs:
            kwargs["n"] = steps
        self._guide(noisy, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(noisy, steps, kwargs)


samplers_data_k_diffusion = sd_samplers_common._data_of(
    KDiffusionSampler, [row for row in samplers_k_diffusion if callable(row[1]) or hasattr(k_diffusion.sampling, row[1])])
k_diffusion_samplers_map = {data.name: data for data in samplers_data_k_diffusion}
