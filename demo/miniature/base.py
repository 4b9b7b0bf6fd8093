"""The text-to-image model: LDM's UNet and the CLIP text encoder, trained together on single frames, noise (eps) prediction.

Three things differ from training a large model, all because this one is small and its schedules end in almost pure noise:
the loss weighs the high-noise end more (1 / alpha_bar, capped), timesteps there are drawn more often, and three batches in ten take PIA's
linear schedule instead of the model's own, so that the noise level that a timestep stands for is not learned too exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lib_pia.schedule import linear_alphas_cumprod
from lib_pia.training import Processes, join_processes
from lib_pia.training.objective import noised

from .fast import autocast, average_gradients, parameters_of, quick_attention
from .net import Miniature, base_alphas_cumprod
from .quick import QuickNet, compiled, timestep_embedding
from .scenes import random_picture
from .through import Held, open_way
from .training_log import Run, cosine
from .vae import to_signed

CAP = 12.0  # largest loss weight
PRECISE_CAP = 600.0  # in `refine`: that of 1 / alpha_bar at PIA's noisiest step
NULL_TEXT = 0.1  # share of examples with the empty prompt, for classifier-free guidance
LINEAR_SHARE = 0.3
NOISIEST = 900  # first timestep of the noisiest tenth


@dataclass
class Pool:
    """Pictures as scaled latents [N, 4, 8, 8] with their captions."""

    latents: torch.Tensor
    captions: list[str]


@torch.no_grad()
def picture_pool(model: Miniature, rng: np.random.Generator, count: int, style: str = "flat", two: float = 0.12) -> Pool:
    pairs = [random_picture(rng, style, two) for _ in range(count)]
    pictures = torch.from_numpy(np.stack([p for p, _ in pairs])).permute(0, 3, 1, 2)
    with autocast():
        latents = [model.vae.encode(to_signed(batch)) for batch in pictures.split(32)]
    return Pool(torch.cat(latents), [c for _, c in pairs])


def draw_timesteps(count: int) -> torch.Tensor:
    """Timesteps 0..999 [count], more often high: the square root of a uniform number."""
    return (torch.rand(count) ** 0.6 * 1000).long().clamp(max=999)


def loss_weight(alphas: torch.Tensor, cap: float = CAP) -> torch.Tensor:
    """1 / alpha_bar (which turns the eps error into the v error), at most `cap`."""
    return (1 / alphas).clamp(max=cap)


@dataclass(frozen=True)
class Emphasis:
    """The largest loss weight, the share of batches on PIA's linear schedule, and of the pictures in the noisiest tenth the share that is
    noised until nothing of it is left, as sampling starts."""

    cap: float = CAP
    linear: float = LINEAR_SHARE
    pure: float = 0.0


Net = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # predicted noise of noisy latents, timesteps, encoded texts


def picture_loss(model: Miniature, latents: torch.Tensor, captions: list[str], schedules: torch.Tensor,
                 emphasis: Emphasis = Emphasis(), net: Net | None = None) -> torch.Tensor:  # fmt: skip
    """Weighted eps loss of one batch; `schedules` [2, 1000] alpha_bar of the model's own and of PIA's schedule; `net` instead of the UNet."""
    timesteps = draw_timesteps(len(latents))
    alphas = schedules[int(torch.rand(()) < emphasis.linear)][timesteps]
    noise = torch.randn_like(latents)
    a = alphas[:, None, None, None]
    pure = ((timesteps >= NOISIEST) & (torch.rand(len(latents)) < emphasis.pure))[:, None, None, None]
    noisy, wanted = noised(latents, noise, a, pure)
    texts = ["" if torch.rand(()) < NULL_TEXT else c for c in captions]
    with autocast():
        encoded = model.encode_text(texts)
        predicted = net(noisy, timesteps, encoded) if net else model.unet(noisy, timesteps, context=encoded)
    error = (predicted.float() - wanted).square().mean((1, 2, 3))
    return (error * loss_weight(alphas, emphasis.cap)).mean() / 4


def drawn_loss(model: Miniature, pool: Pool, count: int, schedules: torch.Tensor, emphasis: Emphasis, net: Net | None = None) -> torch.Tensor:
    """`picture_loss` of `count` pictures drawn from the pool."""
    rows = torch.randint(len(pool.captions), (count,))
    return picture_loss(model, pool.latents[rows], [pool.captions[i] for i in rows.tolist()], schedules, emphasis, net)


def schedules() -> torch.Tensor:
    return torch.stack([base_alphas_cumprod().float(), linear_alphas_cumprod().float()])


class Ema:
    """A moving average of parameters: `update()` after every step, `copy_to()` at the end."""

    def __init__(self, parameters: list[nn.Parameter], decay: float = 0.998):
        self.parameters, self.decay = parameters, decay
        self.shadow = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        rest = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.parameters], rest)

    @torch.no_grad()
    def copy_to(self) -> None:
        torch._foreach_copy_(self.parameters, self.shadow)

    def state_dict(self) -> dict:
        return {"shadow": self.shadow}

    def load_state_dict(self, state: dict) -> None:
        torch._foreach_copy_(self.shadow, state["shadow"])


@dataclass(frozen=True)
class Stage:
    """How a stage of the base trains: learning rate at its top, warm-up steps, what the loss stresses, whether the text encoder trains too."""

    rate: float = 1e-3
    warmup: int = 100
    emphasis: Emphasis = Emphasis()
    text: bool = True
    ema: float = 0.998


FIRST = Stage()
# With the cap of `FIRST` the noise of the highest steps comes back with an error of 3 %, there half as much as the picture. So the UNet
# alone goes on with those steps at full weight.
REFINE = Stage(6e-4, 30, Emphasis(PRECISE_CAP, 0.5), text=False, ema=0.995)
# On the straight way for x_t (through.py), with the texts in which the words of motion weigh; starts from pure noise, too.
STRAIGHT = Stage(1e-3, 50, Emphasis(400.0, 0.5, 0.5), text=False, ema=0.995)


class Descent:
    """AdamW on `trained` with gradients clipped to norm 1 and averaged over processes, a moving average, and entries that are held."""

    def __init__(self, trained: list[nn.Parameter], rate: float, decay: float, weight_decay: float = 1e-3, held: Held | None = None):
        self.trained, self.rate, self.held = trained, rate, held
        self.optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, 0.99), weight_decay=weight_decay, foreach=True)
        self.ema = Ema(trained, decay)

    def parts(self) -> dict:
        """What a run must save."""
        return {"optimizer": self.optimizer, "ema": self.ema}

    def step(self, loss: torch.Tensor, number: int, factor: float, processes: Processes | None = None) -> dict[str, float]:
        """Step `number`, at the rate times `factor`; what to log."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self.optimizer.zero_grad()
        loss.backward()
        if processes:
            average_gradients(self.trained, processes)
        if self.held:
            self.held.gradients()
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        if self.held:
            self.held.values()
        self.ema.update(number)
        return {"loss": loss.item(), "grad_norm": norm.item()}

    def finish(self) -> None:
        """Leave the averaged weights in the model."""
        self.ema.copy_to()
        if self.held:
            self.held.values()


def train(model: Miniature, run: Run, pool: Pool, steps: int, stage: Stage = FIRST) -> None:
    """Train UNet (and text encoder) on batches of 64 of the pool; at the end they hold the averaged weights."""
    model.vae.requires_grad_(False)
    model.text.requires_grad_(stage.text)
    descent, both = Descent(parameters_of(model.unet, model.text), stage.rate, stage.ema), schedules()
    with quick_attention():
        for step in run.steps(steps, unet=model.unet, text=model.text, **descent.parts()):
            loss = drawn_loss(model, pool, 64, both, stage.emphasis)
            run.log(step, **descent.step(loss, step, cosine(step, steps, stage.warmup)))
    descent.finish()


def train_straight(model: Miniature, run: Run, pool: Pool, steps: int, stage: Stage = STRAIGHT, batch: int = 64) -> bool:
    """Train the UNet with a straight way for x_t, compiled, the batch shared among the processes of `torchrun`; at the end it holds the
    averaged weights. Whether this is the first process."""
    model.requires_grad_(False)
    model.unet.requires_grad_(True)
    held = open_way(model.unet)
    descent, both = Descent(parameters_of(model.unet), stage.rate, stage.ema, held=held), schedules()
    quick = compiled(QuickNet(model.unet))

    def net(noisy: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return quick(noisy, timestep_embedding(timesteps, model.unet.model_channels), text)

    with join_processes("cpu") as processes:
        run.silent = not processes.is_first
        for step in run.steps(steps, unet=model.unet, **descent.parts()):
            torch.manual_seed(14 + 1000003 * (step * processes.count + processes.rank))
            loss = drawn_loss(model, pool, batch // processes.count, both, stage.emphasis, net)
            run.log(step, **descent.step(loss, step, cosine(step, steps, stage.warmup), processes))
        descent.finish()
        return processes.is_first
