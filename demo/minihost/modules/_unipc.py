"""UniPC, multistep, predicting x0 (Zhao et al., arXiv 2302.04867, algorithms 5-8), on a discrete schedule.

lambda = log(alpha / sigma); h = lambda_t - lambda_s. D_k are differences of past predictions over r_k = (lambda_k - lambda_s) / h.
"""
import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Plan:
    """`t_start` in (0, 1]; `variant` "bh1" (B(h) = h), "bh2" (B(h) = e^h - 1) or "vary_coeff" (taken as bh2)."""

    steps: int
    order: int = 3
    variant: str = "bh1"
    skip_type: str = "time_uniform"
    lower_order_final: bool = True
    t_start: float = 1.0


class _Schedule:
    """alpha and sigma at continuous times (n + 1) / 1000 of step n, linear in log alpha between."""

    def __init__(self, alphas_cumprod):
        self.log_alpha = 0.5 * alphas_cumprod.detach().double().cpu().log()
        self.times = torch.linspace(0, 1, len(self.log_alpha) + 1, dtype=torch.float64)[1:]

    def _interpolate(self, x, xs, ys):
        i = torch.searchsorted(xs, x.reshape(1)).clamp(1, len(xs) - 1)[0]
        return ys[i - 1] + (x - xs[i - 1]) * (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1])

    def at(self, t):
        log_alpha = self._interpolate(t, self.times, self.log_alpha)
        log_sigma = 0.5 * torch.log(1 - torch.exp(2 * log_alpha))
        return log_alpha.exp(), log_sigma.exp(), log_alpha - log_sigma

    def time_of(self, lam):
        log_alpha = -0.5 * torch.logaddexp(torch.zeros_like(lam), -2 * lam)
        return self._interpolate(log_alpha, self.log_alpha.flip(0), self.times.flip(0))


def _timesteps(schedule, plan):
    first, last, n = torch.tensor(plan.t_start, dtype=torch.float64), schedule.times[0], plan.steps + 1
    if plan.skip_type == "logSNR":
        lams = torch.linspace(schedule.at(first)[2].item(), schedule.at(last)[2].item(), n, dtype=torch.float64)
        return [schedule.time_of(lam).clamp(last, first) for lam in lams]
    power = 2 if plan.skip_type == "time_quadratic" else 1
    return list(torch.linspace(first.item() ** (1 / power), last.item() ** (1 / power), n, dtype=torch.float64) ** power)


def _weights(h, ratios, variant):
    """rho of the paper's equation (predictor for the past ratios, corrector with 1 appended), and B(h)."""
    hh = -h
    phi, big_b = torch.expm1(hh) / hh - 1, hh if variant == "bh1" else torch.expm1(hh)
    rows, rhs, factorial = [], [], 1
    for i in range(1, len(ratios) + 1):
        rows.append(ratios ** (i - 1))
        rhs.append(phi * factorial / big_b)
        factorial *= i + 1
        phi = phi / hh - 1 / factorial
    return torch.stack(rows), torch.stack(rhs), big_b


def _update(schedule, x, past, times, t, order, variant, model):
    """One predictor-corrector step to `t`; returns (x, prediction at t or None)."""
    _, sigma_s, lam_s = schedule.at(times[-1])
    alpha_t, sigma_t, lam_t = schedule.at(t)
    h = lam_t - lam_s
    ratios = [(schedule.at(times[-1 - i])[2] - lam_s) / h for i in range(1, order)]
    differences = [(past[-1 - i] - past[-1]) / r.item() for i, r in zip(range(1, order), ratios)]
    matrix, rhs, big_b = _weights(h, torch.stack([*ratios, torch.ones_like(h)]), variant)
    base = (sigma_t / sigma_s).item() * x - (alpha_t * torch.expm1(-h)).item() * past[-1]

    def mix(rho, parts):
        return (alpha_t * big_b).item() * sum(r.item() * part for r, part in zip(rho, parts))

    predicted = base
    if differences:
        rho = torch.full((1,), 0.5, dtype=h.dtype) if order == 2 else torch.linalg.solve(matrix[:-1, :-1], rhs[:-1])
        predicted = base - mix(rho, differences)
    if model is None:
        return predicted, None
    prediction = model(predicted, t)
    rho = torch.full((1,), 0.5, dtype=h.dtype) if order == 1 else torch.linalg.solve(matrix, rhs)
    return base - mix(rho, [*differences, prediction - past[-1]]), prediction


@torch.no_grad()
def sample(denoiser, x, alphas_cumprod, plan, extra_args, callback):
    """`denoiser(x, t)` predicts the noise at timestep t in 0..999. The model is called `plan.steps` times."""
    assert plan.steps >= plan.order, f"UniPC of order {plan.order} needs at least {plan.order} steps, got {plan.steps}"
    schedule, ones = _Schedule(alphas_cumprod), x.new_ones(x.shape[0])

    def model(x, t):
        alpha, sigma, _ = schedule.at(t)
        eps = denoiser(x, (t.item() - 1 / 1000) * 1000 * ones, **extra_args)
        return (x - sigma.item() * eps) / alpha.item()

    grid = _timesteps(schedule, plan)
    past, times = [model(x, grid[0])], [grid[0]]
    for step in range(1, plan.steps + 1):
        order = min(plan.order, step)
        if plan.lower_order_final:
            order = min(order, plan.steps + 1 - step)
        last = step == plan.steps
        x, prediction = _update(schedule, x, past, times, grid[step], order, plan.variant, None if last else model)
        if prediction is not None:
            past, times = [*past, prediction][-plan.order:], [*times, grid[step]][-plan.order:]
        if callback is not None:
            callback({"x": x, "i": step - 1, "sigma": 0, "sigma_hat": 0, "denoised": past[-1]})
    return x
