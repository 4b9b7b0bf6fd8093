"""Plain samplers for parity: the paper's DDIM (25 calls), and DDIM (24 calls) and Euler (25 calls) as the WebUI runs
them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lib_pia.condition import build_condition
from lib_pia.injection import inject
from lib_pia.schedule import linear_alphas_cumprod

Eps = Callable[[Tensor, Tensor], Tensor]


def fused(self, x: Tensor, context: Tensor | None = None, mask: None = None) -> Tensor:
    """LDM's CrossAttention.forward with torch's own attention, as the WebUI runs it: the same in less time."""
    context = x if context is None else context
    q, k, v = (
        y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        for y in (self.to_q(x), self.to_k(context), self.to_v(context))
    )
    return self.to_out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@contextlib.contextmanager
def faster():
    from ldm.modules.attention import CrossAttention

    with torch.inference_mode(), mock.patch.object(CrossAttention, "forward", fused):
        yield


def guided(unet, text: Tensor, num_frames: int, scale: float) -> Eps:
    """eps(x [F, 4, h, w], t) with classifier-free guidance (scale 1: none, as in the paper's code); text [2, 77, D],
    negative first."""
    if scale == 1:
        return lambda x, t: unet(x, t.expand(num_frames), context=text[1:].repeat_interleave(num_frames, dim=0))
    context = text.repeat_interleave(num_frames, dim=0)

    def eps(x: Tensor, t: Tensor) -> Tensor:
        out = unet(torch.cat([x, x]), t.expand(2 * num_frames), context=context)
        negative, positive = out.chunk(2)
        return negative + scale * (positive - negative)

    return eps


def ddim(eps: Eps, x: Tensor, alphas: Tensor, timesteps: list[int], last_alpha: float) -> Tensor:
    """Deterministic DDIM over `timesteps` (falling); `last_alpha` is where the last step lands."""
    for i, t in enumerate(timesteps):
        a = alphas[t]
        a_next = alphas[timesteps[i + 1]] if i + 1 < len(timesteps) else torch.tensor(last_alpha)
        e = eps(x, torch.tensor([float(t)]))
        x0 = (x - (1 - a).sqrt() * e) / a.sqrt()
        x = a_next.sqrt() * x0 + (1 - a_next).sqrt() * e
    return x


def paper_ddim(eps: Eps, x: Tensor, alphas: Tensor, steps: int = 25) -> Tensor:
    return ddim(eps, x, alphas, [1 + i * (1000 // steps) for i in reversed(range(steps))], 1.0)


def webui_ddim(eps: Eps, x: Tensor, alphas: Tensor, steps: int = 25) -> Tensor:
    timesteps = [1 + i * (1000 // steps) for i in reversed(range(steps))]
    return ddim(eps, x, alphas, timesteps[:-1], float(alphas[timesteps[-1]]))


def webui_euler(eps: Eps, x: Tensor, alphas: Tensor, steps: int = 25) -> Tensor:
    """k-diffusion's Euler over `get_sigmas`: times evenly spread from 999 to 0, log-interpolated sigmas, then 0."""
    log_sigmas = ((1 - alphas) / alphas).log() / 2
    times = torch.linspace(999, 0, steps)
    low = times.floor().long()
    weight = times - low
    sigmas = ((1 - weight) * log_sigmas[low] + weight * log_sigmas[times.ceil().long()]).exp()
    sigmas = torch.cat([sigmas, sigmas.new_zeros(1)])
    x = x * sigmas[0]
    for t, sigma, sigma_next in zip(times, sigmas, sigmas[1:]):
        x = x + (sigma_next - sigma) * eps(x / (sigma**2 + 1).sqrt(), t[None])
    return x


SAMPLERS = {"ddim25": paper_ddim, "a1111_ddim25": webui_ddim, "a1111_euler25": webui_euler}


def animate(unet, model, golden: dict[str, Tensor], case: dict) -> Tensor:
    """Final latents [F, 4, h, w] of one golden case: sampler, size, frames, condition frame, motion index, guidance
    scale, alphas."""
    frames, size = case.get("frames", 16), case.get("size", "64x64")
    noise = golden[f"noise_{size}" + ("" if frames == 16 else f"_F{frames}")][0].transpose(0, 1)
    affinity = golden[f"mask_coef/F{frames}_c{case.get('condition_frame', 0)}_m{case['motion']}"].flatten()
    condition = build_condition(golden[f"cond_latent_{size}"], affinity)
    alphas = case.get("alphas", linear_alphas_cumprod())
    with faster(), inject(unet, model, condition):
        return SAMPLERS[case["sampler"]](guided(unet, golden["text"], frames, case.get("scale", 7.5)), noise, alphas)


def relative_error(ours: Tensor, golden: Tensor) -> float:
    """||ours - golden|| / ||golden||; ours [F, 4, h, w], golden [1, 4, F, h, w]."""
    theirs = golden[0].transpose(0, 1)
    return float((ours - theirs).norm() / theirs.norm())
