"""The sampler for latent consistency models (arXiv 2310.04378): 50 of the 1000 timesteps, boundary scaling of the output."""
import torch
from k_diffusion import utils
from k_diffusion.external import DiscreteEpsDDPMDenoiser
from k_diffusion.sampling import append_zero, default_noise_sampler
from modules import sd_samplers_cfg_denoiser, sd_samplers_common, sd_samplers_kdiffusion, shared


class LCMCompVisDenoiser(DiscreteEpsDDPMDenoiser):
    def __init__(self, model):
        self.skip_steps = 1000 // 50
        super().__init__(model, model.alphas_cumprod[self.skip_steps - 1::self.skip_steps].float(), quantize=None)

    def get_sigmas(self, n=None,):
        if n is None:
            return append_zero(self.sigmas.flip(0))
        first, last = self.sigma_to_t(self.sigma_max), self.sigma_to_t(self.sigma_min)
        return append_zero(self.t_to_sigma(torch.linspace(first, last, n, device=shared.sd_model.device)))

    def sigma_to_t(self, sigma, quantize=None):
        distance = (sigma.log() - self.log_sigmas[:, None]).abs()
        return distance.argmin(dim=0).view(sigma.shape) * self.skip_steps + self.skip_steps - 1

    def t_to_sigma(self, timestep):
        place = (timestep - (self.skip_steps - 1)) / self.skip_steps
        return super().t_to_sigma(place.float().clamp(0, len(self.sigmas) - 1))

    def get_eps(self, *args, **kwargs):
        predict = self.inner_model.apply_model
        return predict(*args, **kwargs)

    def get_scaled_out(self, sigma, output, input):
        t, data = utils.append_dims(self.sigma_to_t(sigma), output.ndim) * 10.0, 0.5
        return t / (t ** 2 + data ** 2) ** 0.5 * output + data ** 2 / (t ** 2 + data ** 2) * input

    def forward(self, input, sigma, **kwargs):
        c_out, c_in = (utils.append_dims(value, input.ndim) for value in self.get_scalings(sigma))
        return self.get_scaled_out(sigma, input + c_out * self.get_eps(input * c_in, self.sigma_to_t(sigma), **kwargs), input)


def sample_lcm(model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None):
    noise_sampler = noise_sampler or default_noise_sampler(x)
    ones = x.new_ones([x.shape[0]])
    for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        denoised = model(x, sigma * ones, **(extra_args or {}))
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        x = denoised + following * noise_sampler(sigma, following) if following > 0 else denoised
    return x


class CFGDenoiserLCM(sd_samplers_cfg_denoiser.CFGDenoiser):
    def _make_model(self):
        return LCMCompVisDenoiser(shared.sd_model)


class LCMSampler(sd_samplers_kdiffusion.KDiffusionSampler):
    def __init__(self, funcname, sd_model, options=None):
        super().__init__(funcname, sd_model, options=options)
        self.model_wrap_cfg, self.model_wrap = sd_samplers_common._with_model(CFGDenoiserLCM(self))


samplers_lcm = [("LCM", sample_lcm, ["k_lcm"], {})]
samplers_data_lcm = sd_samplers_common._data_of(LCMSampler, samplers_lcm)
