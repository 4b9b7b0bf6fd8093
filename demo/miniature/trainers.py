"""The project's trainer with the compiled network (`quick.py`), alone or on several processes, and with the base training along."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lib_pia.model import PIAModel
from lib_pia.training import ClipBatch, Processes, TrainConfig, Trainer
from lib_pia.training.batch import training_draws
from lib_pia.training.ema import WeightAverage
from lib_pia.training.objective import check_batch, eps_loss, make_example

from .clips import PoolSource
from .fast import average_gradients
from .quick import QuickNet, compiled, timestep_embedding
from .through import Held, fixed_of_pia

UNET = "unet."  # before the names of the base's weights among those that train


class ByHand(Processes):
    """Processes whose gradients `QuickTrainer` averages itself: DistributedDataParallel would have to see the compiled network."""

    def wrap(self, module: nn.Module) -> nn.Module:
        module.no_sync = contextlib.nullcontext
        return module


class QuickTrainer(Trainer):
    """`lib_pia.training.Trainer`, the same draws, loss and optimizer, through `QuickNet`."""

    def __init__(self, unet: nn.Module, model: PIAModel, config: TrainConfig, clips: PoolSource, processes: Processes):
        super().__init__(unet, model, config, clips, ByHand(processes.rank, processes.count, processes.device))
        self.net = compiled(QuickNet(unet, self.model, clips.frames))

    @contextlib.contextmanager
    def forward(self, batch: ClipBatch, first: int) -> Iterator[Tensor]:
        check_batch(batch)
        config = self.config
        draws = training_draws(config, first, batch.latents.shape)
        example = make_example(batch, draws, self.alphas_cumprod, config)
        text = example.text[:: batch.latents.shape[1]]
        width = self.unet.model_channels
        yield eps_loss(self.net(example.noisy, timestep_embedding(draws.timestep, width), text, example.condition), example)

    def _gradients(self) -> None:
        """After backward, before they are clipped."""
        average_gradients(self.trained.values(), self.processes)

    def _update(self) -> float:
        self._gradients()
        return super()._update()


class StraightTrainer(QuickTrainer):
    """QuickTrainer on a base with a straight way for x_t (through.py), which PIA leaves alone."""

    def __init__(self, unet: nn.Module, model: PIAModel, config: TrainConfig, clips: PoolSource, processes: Processes):
        super().__init__(unet, model, config, clips, processes)
        self.held = Held(self.model, fixed_of_pia(self.model))
        self.average = WeightAverage(self.trained, config.ema_decay)  # with the entries zeroed above

    def _gradients(self) -> None:
        super()._gradients()
        self.held.gradients()

    def _update(self) -> float:
        norm = super()._update()
        self.held.values()
        return norm


class JointTrainer(QuickTrainer):
    """QuickTrainer that trains the base's UNet too, at the rate `unet_rate`. `pictures(step)` is a text-to-image loss for the UNet alone, whose
    gradient is added every `every` steps."""

    def __init__(self, unet: nn.Module, model: PIAModel, config: TrainConfig, clips: PoolSource, processes: Processes, joint: "Joint"):
        super().__init__(unet, model, config, clips, processes)
        self.joint = joint
        base = {UNET + name: parameter.requires_grad_(True) for name, parameter in unet.named_parameters()}
        groups = [*self._groups(), {"params": list(base.values()), "lr": joint.rate, "base_lr": joint.rate}]
        self.trained = self.trained | base
        self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay, betas=(0.9, 0.99))
        self.average = WeightAverage(self.trained, config.ema_decay)

    def _update(self) -> float:
        if self.step % self.joint.every == 0:
            self.joint.pictures(self.step * self.processes.count + self.processes.rank).backward()
        return super()._update()

    def unet_state(self) -> dict[str, Tensor]:
        """The UNet's state dict with the averaged weights."""
        mean = {name[len(UNET) :]: value for name, value in self.average.mean.items() if name.startswith(UNET)}
        return self.unet.state_dict() | mean


@dataclasses.dataclass(frozen=True)
class Joint:
    """How the base trains along: its learning rate, the text-to-image loss (of the draw with this number), every so many steps."""

    rate: float
    pictures: Callable[[int], Tensor]
    every: int = 3
