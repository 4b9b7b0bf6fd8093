"""DDIM. For it `sigma` is the timestep and the model predicts noise."""

import torch
from k_diffusion import sampling
from modules import devices, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import Sampler, SamplerData


class PredictsNoise(torch.nn.Module):
    """The model, and the noise that it says is in `x`."""

    def __init__(self, model):
        super().__init__()
        self.inner_model = model

    def forward(self, x, times, **conds):
        return self.inner_model.apply_model(x, times, **conds)


class CFGDenoiserTimesteps(CFGDenoiser):
    mask_before_denoising = True

    def wrapped(self, model):
        self.alphas = model.alphas_cumprod
        return PredictsNoise(model)

    def get_pred_x0(self, x_in, x_out, sigma):
        alpha = self.alphas[sigma.long()].view(-1, 1, 1, 1)
        return (x_in - (1 - alpha).sqrt() * x_out) / alpha.sqrt()


@torch.no_grad()
def ddim(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    """Ascending timesteps t_0..t_n: steps from t_n down to t_1, so the model never sees t_0 (arXiv 2010.02502)."""
    bar = model.inner_model.inner_model.alphas_cumprod
    for i, k in enumerate(range(len(timesteps) - 1, 0, -1)):
        now, then = bar[timesteps[k]].item(), bar[timesteps[k - 1]].item()
        eps = model(x, x.new_full((len(x),), timesteps[k].item()), **(extra_args or {}))
        spread = eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        clean = (x - (1 - now) ** 0.5 * eps) / now**0.5
        x = then**0.5 * clean + (1 - then - spread**2) ** 0.5 * eps + spread * sampling.torch.randn_like(x)
        if callback is not None:
            callback({"i": i, "x": x, "denoised": clean, "sigma": 0, "sigma_hat": 0})
    return x


class CompVisSampler(Sampler):
    eta_setting, eta_in_infotext, eta_default = "eta_ddim", "Eta DDIM", 0.0

    def __init__(self, sd_model):
        super().__init__(ddim, CFGDenoiserTimesteps(self))

    def _timesteps(self, steps):
        return torch.arange(1000, device=devices.device)[:: 1000 // steps].add(1).clamp(max=999)

    def from_noise(self, p, x, steps):
        return x, {"timesteps": self._timesteps(steps)}

    def from_latent(self, p, x, noise, steps, made):
        times = self._timesteps(steps)
        alpha = shared.sd_model.alphas_cumprod[times[made]]
        return alpha.sqrt() * x + (1 - alpha).sqrt() * noise, {"timesteps": times[:made]}


SAMPLERS = [SamplerData("DDIM", CompVisSampler, [], {})]
