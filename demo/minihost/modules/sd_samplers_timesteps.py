"""Samplers that work on timesteps; for them `sigma` is the timestep and the model predicts noise."""
import inspect
import sys

import torch
from modules import devices, sd_samplers_common, sd_samplers_timesteps_impl, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.shared import opts

_LABELS = {"ddim": "DDIM", "ddim_cfgpp": "DDIM CFG++", "plms": "PLMS", "unipc": "UniPC"}
samplers_timesteps = [(label, getattr(sd_samplers_timesteps_impl, name), [name], {}) for name, label in _LABELS.items()]


class CompVisTimestepsDenoiser(torch.nn.Module):
    def __init__(self, model, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.inner_model = model

    def forward(self, input, timesteps, **kwargs):
        predict = self.inner_model.apply_model
        return predict(input, timesteps, **kwargs)


class CompVisTimestepsVDenoiser(torch.nn.Module):
    def __init__(self, model, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.inner_model = model

    def predict_eps_from_z_and_v(self, x_t, t, v):
        a = self.inner_model.alphas_cumprod[t.int()][:, None, None, None]
        return a.sqrt() * v + (1 - a).sqrt() * x_t

    def forward(self, input, timesteps, **kwargs):
        return self.predict_eps_from_z_and_v(input, timesteps, self.inner_model.apply_model(input, timesteps, **kwargs))


class CFGDenoiserTimesteps(CFGDenoiser):
    def __init__(self, sampler):
        super().__init__(sampler)
        self.mask_before_denoising, self.alphas = True, shared.sd_model.alphas_cumprod

    def get_pred_x0(self, x_in, x_out, sigma):
        a = self.alphas[sigma.to(int)][:, None, None, None]
        return (x_in - (1 - a).sqrt() * x_out) / a.sqrt()

    def _make_model(self):
        kind = {"v": CompVisTimestepsVDenoiser}.get(shared.sd_model.parameterization, CompVisTimestepsDenoiser)
        return kind(shared.sd_model)


class CompVisSampler(sd_samplers_common.Sampler):
    def __init__(self, funcname, sd_model):
        super().__init__(funcname)
        self.eta_option_field, self.eta_infotext_field, self.eta_default = "eta_ddim", "Eta DDIM", 0.0
        self.model_wrap_cfg, self.model_wrap = sd_samplers_common._with_model(CFGDenoiserTimesteps(self))

    def get_timesteps(self, p, steps):
        discard = opts.always_discard_next_to_last_sigma
        if discard:
            p.extra_generation_params.update({"Discard penultimate sigma": True})
        return torch.arange(1, 1001, 1000 // (steps + discard), device=devices.device).clamp_max(999)

    def _arguments(self, p, timesteps, is_img2img):
        accepted, kwargs = inspect.signature(self.func).parameters, self.initialize(p)
        kwargs["timesteps"] = timesteps
        if is_img2img and "is_img2img" in accepted:
            kwargs["is_img2img"] = True
        return kwargs

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        total, start = sd_samplers_common.setup_img2img_steps(p, steps)
        times = self.get_timesteps(p, total)
        a = shared.sd_model.alphas_cumprod[times[start]]
        noisy = self._with_extra_noise(p, x, noise, x * a.sqrt() + noise * (1 - a).sqrt(), a.sqrt())
        kwargs = self._arguments(p, times[:start], True)
        self.model_wrap_cfg.init_latent = x
        self._guide(x, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(noisy, start + 1, kwargs)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        steps = steps or p.steps
        kwargs = self._arguments(p, self.get_timesteps(p, steps), False)
        self._guide(x, conditioning, unconditional_conditioning, image_conditioning)
        return self._run(x, steps, kwargs)


samplers_data_timesteps = sd_samplers_common._data_of(CompVisSampler, samplers_timesteps)
sys.modules.update({"modules.sd_samplers_compvis": sys.modules[__name__]})
VanillaStableDiffusionSampler = CompVisSampler
