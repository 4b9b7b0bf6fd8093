"""Restart sampling."""
import k_diffusion.sampling
import torch


def _heun(model, x, s, old, new, extra_args, report):
    denoised = model(x, old * s, **extra_args)
    d = k_diffusion.sampling.to_d(x, old, denoised)
    report(x, old, denoised)
    if new == 0:
        return x + d * (new - old)
    ahead = x + d * (new - old)
    d_ahead = k_diffusion.sampling.to_d(ahead, new, model(ahead, new * s, **extra_args))
    return x + (d + d_ahead) / 2 * (new - old)


def _karras(n, low, high):
    return k_diffusion.sampling.get_sigmas_karras(n, low.item(), high.item(), device=low.device)


def _restart_plan(sigmas, restart_list):
    """Pairs (from, to) of all steps, with the jumps back in between. The automatic plan is the paper authors' for SD."""
    steps = len(sigmas) - 1
    if restart_list is None:
        restart_list = {}
        if steps >= 20:
            again, times = (steps // 4, 2) if steps >= 36 else (9, 1)
            sigmas = _karras(steps - again * times, sigmas[-2], sigmas[0])
            restart_list = {0.1: [again + 1, times, 2]}
    nearest = {int((sigmas - low).abs().argmin()): plan for low, plan in restart_list.items()}
    pairs = []
    for i in range(len(sigmas) - 1):
        pairs.append((sigmas[i], sigmas[i + 1]))
        count, times, top = nearest.get(i + 1, (0, 0, 0))
        start = int((sigmas - top).abs().argmin())
        if times and start < i + 1:
            again = _karras(count, sigmas[i + 1], sigmas[start])[:-1]
            pairs += list(zip(again[:-1], again[1:])) * times
    return pairs


@torch.no_grad()
def restart_sampler(model, x, sigmas, extra_args=None, callback=None, disable=None, s_noise=1., restart_list=None):
    """Heun steps that jump back to more noise now and then (Restart Sampling, arXiv 2306.14878)."""
    s, last = x.new_ones([x.shape[0]]), None
    for step, (old, new) in enumerate(_restart_plan(sigmas, restart_list)):
        if last is not None and last < old:
            x = x + k_diffusion.sampling.torch.randn_like(x) * s_noise * (old ** 2 - last ** 2) ** 0.5

        def report(x, sigma, denoised, step=step):
            if callback is not None:
                callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})

        x = _heun(model, x, s, old, new, extra_args or {}, report)
        last = new
    return x
