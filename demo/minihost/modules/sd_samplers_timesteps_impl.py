"""DDIM, DDIM CFG++, PLMS and UniPC on timesteps.

`timesteps` ascend; N of them make N - 1 steps, from timesteps[-1] down to timesteps[1], so the model never sees timesteps[0] (PLMS looks
ahead to it). Sources: DDIM arXiv 2010.02502, CFG++ 2406.08070, PLMS 2202.09778 (Adams-Bashforth on the noise), UniPC 2302.04867.
"""
import k_diffusion.sampling
import torch
from modules import _unipc, shared


def _alphas(model, timesteps):
    """(alpha_bar at each timestep, at the one before it)."""
    alpha_bar = _alpha_bar(model)
    before = torch.cat([timesteps.new_zeros(1), timesteps[:-1]])
    return alpha_bar[timesteps], alpha_bar[before].double()


def _alpha_bar(model):
    wrapped = model.inner_model
    return wrapped.inner_model.alphas_cumprod


def _tell(callback, x, i, pred_x0):
    if callback is not None:
        callback({"i": i, "x": x, "denoised": pred_x0, "sigma": 0, "sigma_hat": 0})


def _ddim_steps(model, x, timesteps, extra_args, callback, eta, direction):
    alphas, alphas_prev = _alphas(model, timesteps)
    ones = x.new_ones(x.shape[0])
    for i in range(len(timesteps) - 1):
        index = len(timesteps) - 1 - i
        eps = model(x, timesteps[index].item() * ones, **(extra_args or {}))
        a, a_prev = alphas[index].item(), alphas_prev[index].item()
        sigma = eta * ((1 - a_prev) / (1 - a) * (1 - a / a_prev)) ** 0.5
        pred_x0 = (x - (1 - a) ** 0.5 * eps) / a ** 0.5
        towards = (1 - a_prev - sigma ** 2) ** 0.5 * direction(eps)
        x = a_prev ** 0.5 * pred_x0 + towards + sigma * k_diffusion.sampling.torch.randn_like(x)
        _tell(callback, x, i, pred_x0)
    return x


@torch.no_grad()
def ddim(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    return _ddim_steps(model, x, timesteps, extra_args, callback, eta, lambda eps: eps)


@torch.no_grad()
def ddim_cfgpp(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    """Re-noises with the unconditional prediction; the CFG scale 0..12.5 becomes 0..1."""
    model.cond_scale_miltiplier, model.need_last_noise_uncond = 1 / 12.5, True
    return _ddim_steps(model, x, timesteps, extra_args, callback, eta, lambda eps: model.last_noise_uncond)


_ADAMS_BASHFORTH = {1: (3 / 2, -1 / 2), 2: (23 / 12, -16 / 12, 5 / 12), 3: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


@torch.no_grad()
def plms(model, x, timesteps, extra_args=None, callback=None, disable=None):
    alphas, alphas_prev = _alphas(model, timesteps)
    ones, history = x.new_ones(x.shape[0]), []

    def step(eps, index):
        a, a_prev = alphas[index].item(), alphas_prev[index].item()
        pred_x0 = (x - (1 - a) ** 0.5 * eps) / a ** 0.5
        return a_prev ** 0.5 * pred_x0 + (1 - a_prev) ** 0.5 * eps, pred_x0

    for i in range(len(timesteps) - 1):
        index = len(timesteps) - 1 - i
        eps = model(x, timesteps[index].item() * ones, **(extra_args or {}))
        if history:
            mixed = sum(c * e for c, e in zip(_ADAMS_BASHFORTH[len(history)], [eps, *history]))
        else:
            ahead = model(step(eps, index)[0], timesteps[index - 1].item() * ones, **(extra_args or {}))
            mixed = (eps + ahead) / 2
        x, pred_x0 = step(mixed, index)
        history = [eps, *history][:3]
        _tell(callback, x, i, pred_x0)
    return x


def unipc(model, x, timesteps, extra_args=None, callback=None, disable=None, is_img2img=False):
    start = (timesteps[-1].item() + 1) / 1000 if is_img2img else 1.0
    plan = _unipc.Plan(steps=len(timesteps), order=shared.opts.uni_pc_order, variant=shared.opts.uni_pc_variant,
                       skip_type=shared.opts.uni_pc_skip_type, lower_order_final=shared.opts.uni_pc_lower_order_final, t_start=start)
    return _unipc.sample(model, x, _alpha_bar(model), plan, extra_args or {}, callback)
