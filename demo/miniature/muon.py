"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): a matrix steps along the orthogonal matrix that
is nearest to its momentum, so that no direction of it is left behind; everything else takes AdamW's step.

torch.optim.Muon takes no convolutions and multiplies in bfloat16, which not every processor does in hardware. Here a
convolution is the matrix [out, in * height * width], and matrices of one shape are worked on together, in float32.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration: Jordan et al. 2024
ITERATIONS = 5  # the same
MATCHED = 0.2  # root mean square of a step relative to the rate, as AdamW's is about (arXiv 2502.16982, section 2.2)


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest orthogonal matrices (singular values 0.7 to 1.2) of [N, rows, columns]."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """`groups`: dicts with params and lr; those with "matrices" true hold parameters of two or more dimensions."""

    def __init__(
        self,
        groups: Iterable[dict],
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-3,
    ):
        super().__init__(
            groups, {"lr": 1e-3, "momentum": momentum, "betas": betas, "weight_decay": weight_decay, "matrices": False}
        )

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            (self._matrices if group["matrices"] else self._others)(group, parameters)

    def _means(self, parameters: list[nn.Parameter], name: str) -> list[Tensor]:
        return [self.state[p].setdefault(name, torch.zeros_like(p)) for p in parameters]

    def _matrices(self, group: dict, parameters: list[nn.Parameter]) -> None:
        means, momentum = self._means(parameters, "mean"), group["momentum"]
        torch._foreach_lerp_(means, [p.grad for p in parameters], 1 - momentum)
        alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
        for parameter, mean in zip(parameters, means):
            alike.setdefault(parameter.flatten(1).shape, []).append((parameter, mean))
        for shape, pairs in alike.items():
            ahead = torch.stack([p.grad.lerp(mean, momentum).flatten(1) for p, mean in pairs])  # Nesterov's
            steps = orthogonal(ahead) * (-group["lr"] * MATCHED * max(shape) ** 0.5)
            for (parameter, _), step in zip(pairs, steps):
                parameter.add_(step.view_as(parameter))

    def _others(self, group: dict, parameters: list[nn.Parameter]) -> None:
        (first, second), gradients = group["betas"], [p.grad for p in parameters]
        means, squares = self._means(parameters, "mean"), self._means(parameters, "square")
        group["steps"] = steps = group.get("steps", 0) + 1
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        scales = torch._foreach_sqrt(torch._foreach_div(squares, 1 - second**steps))
        torch._foreach_add_(scales, 1e-8)
        torch._foreach_addcdiv_(parameters, means, scales, -group["lr"] / (1 - first**steps))


def split(named: Iterable[tuple[str, nn.Parameter]], rate: float, other_rate: float, plain: tuple[str, ...]) -> list:
    """Groups for Muon: matrices and convolutions but those whose names start with one of `plain`, and the others."""
    named = list(named)
    matrices = [p for name, p in named if p.ndim > 1 and not name.startswith(plain)]
    known = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in known]
    return [
        {"params": matrices, "lr": rate, "matrices": True},
        {"params": others, "lr": other_rate},
    ]
