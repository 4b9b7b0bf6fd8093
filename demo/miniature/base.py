"""The text-to-image model: LDM's UNet, trained on single frames of the clips to predict noise (eps), with a straight
way for x_t (through.py).

Three things differ from training a large model, all because this one is small and its schedules end in almost pure
noise: the loss weighs the high-noise end more (1 / alpha_bar, capped), timesteps there are drawn more often, half of
the noisiest pictures are noise alone, as sampling starts (arXiv 2305.08891), and every other batch takes PIA's linear
schedule instead of the model's own.
"""

from dataclasses import dataclass

import torch
from torch import nn

from lib_pia.schedule import linear_alphas_cumprod
from lib_pia.training import Processes
from lib_pia.training.objective import noised

from .clips import ClipPool, encode_all
from .muon import Muon, split
from .net import Miniature, base_alphas_cumprod
from .through import Held, open_way
from .training_log import Run, trapezoid
from .vae import autocast

CAP = 400.0  # largest loss weight
NULL_TEXT = 0.1  # share of examples with the empty prompt, for classifier-free guidance
LAST_FRAME = 0.5  # share of pictures that are a clip's last frame: "moving left" has moved left
MOST_PROCESSES = 1000  # the draws of a step and a process have a seed of their own
ENDS = ("input_blocks.0.", "time_embed.0.", "out.")  # layers whose rows or columns are no features: AdamW's step
NOISIEST, PURE = 900, 0.5  # first timestep of the noisiest tenth; share of it that is noise alone


@dataclass
class Pictures:
    """Frames of clips as scaled latents [N, F, 4, 8, 8], the encodings [N, 77, D] of their captions and [77, D] of the
    empty one, and the first frame [N] that shows what the caption says."""

    latents: torch.Tensor
    text: torch.Tensor
    null: torch.Tensor
    settled: torch.Tensor

    @classmethod
    def of(cls, pool: ClipPool, model: Miniature) -> "Pictures":
        return cls(pool.latents, encode_all(model, pool.captions), encode_all(model, [""])[0], pool.settled)

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [count, 4, 8, 8] and texts [count, 77, D]."""
        clips, frames = torch.randint(len(self.text), (count,)), torch.randint(self.latents.shape[1], (count,))
        frames = torch.maximum(frames, self.settled[clips])
        frames = torch.where(torch.rand(count) < LAST_FRAME, self.latents.shape[1] - 1, frames)
        empty = torch.rand(count) < NULL_TEXT
        return self.latents[clips, frames], torch.where(empty[:, None, None], self.null, self.text[clips])


def schedules() -> torch.Tensor:
    """alpha_bar [2, 1000] of the model's own schedule and of PIA's."""
    return torch.stack([base_alphas_cumprod().float(), linear_alphas_cumprod().float()])


def loss_weight(alphas: torch.Tensor, cap: float = CAP) -> torch.Tensor:
    """1 / alpha_bar (which turns the error of the noise into that of the picture), at most `cap`."""
    return (1 / alphas).clamp(max=cap)


def picture_loss(unet: nn.Module, latents: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Weighted eps loss of one batch of latents [N, 4, 8, 8] with texts [N, 77, D]."""
    timesteps = (torch.rand(len(latents)) ** 0.6 * 1000).long().clamp(max=999)
    alphas = schedules()[int(torch.rand(()) < 0.5)][timesteps]
    pure = (timesteps >= NOISIEST) & (torch.rand(len(latents)) < PURE)
    noisy, wanted = noised(latents, torch.randn_like(latents), *(t[:, None, None, None] for t in (alphas, pure)))
    with autocast():
        predicted = unet(noisy, timesteps, context=texts)
    error = (predicted.float() - wanted).square().mean((1, 2, 3))
    return (error * loss_weight(alphas)).mean() / 4


class Descent:
    """Steps of an optimizer with gradients clipped to norm 1, a moving average of the weights, and entries that are
    held."""

    def __init__(self, optimizer: torch.optim.Optimizer, decay: float, held: Held, processes: Processes | None = None):
        self.optimizer, self.decay, self.held, self.processes = optimizer, decay, held, processes or Processes()
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.trained = [p for group in optimizer.param_groups for p in group["params"]]
        self.average = torch.optim.swa_utils.AveragedModel(nn.ParameterList(self.trained), multi_avg_fn=self.mix)

    @torch.no_grad()
    def mix(self, means: list[torch.Tensor], now: list[torch.Tensor], count: torch.Tensor) -> None:
        torch._foreach_lerp_(means, now, 1 - min(self.decay, (1 + int(count)) / (10 + int(count))))

    def train(self, run: Run, steps: int, unet: nn.Module, pictures: Pictures, batch: int) -> None:
        """Go on with the run; at the end the model holds the averaged weights. `batch` is of all processes together,
        and what is drawn depends on step and process alone."""
        denoiser = self.processes.wrap(unet)
        for step in run.steps(steps, unet=unet, optimizer=self.optimizer, average=self.average):
            for group, rate in zip(self.optimizer.param_groups, self.rates):
                group["lr"] = rate * trapezoid(step, steps, warmup=50)
            torch.manual_seed(MOST_PROCESSES * step + self.processes.rank)
            loss = picture_loss(denoiser, *pictures.draw(batch // self.processes.count))
            self.optimizer.zero_grad()
            loss.backward()
            self.held.gradients()
            norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.held.values()
            self.average.update_parameters(nn.ParameterList(self.trained))
            run.log(step, loss=loss.item(), grad_norm=norm.item())
        with torch.no_grad():
            torch._foreach_copy_(self.trained, list(self.average.module))
        self.held.values()


def train(
    model: Miniature, run: Run, pool: ClipPool, steps: int, batch: int = 64, processes: Processes | None = None
) -> None:
    """Train the UNet from nothing; the text encoder stays as it is."""
    model.requires_grad_(False)
    model.unet.requires_grad_(True)
    held = open_way(model.unet)
    descent = Descent(Muon(split(model.unet.named_parameters(), 3e-3, 1e-3, ENDS)), 0.998, held, processes)
    descent.train(run, steps, model.unet, Pictures.of(pool, model), batch)
