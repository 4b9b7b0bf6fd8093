"""The training loop of the paper, for any LDM-layout SD1.5 UNet and any source of clips."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lib_pia.errors import TrainingError
from lib_pia.injection import inject
from lib_pia.model import PIAModel
from lib_pia.schedule import linear_alphas_cumprod

from .config import TrainConfig
from .objective import ClipBatch, ClipSource, check_batch, eps_loss, make_example, training_draws
from .processes import Processes
from .weights import WeightAverage


@dataclasses.dataclass(frozen=True)
class StepReport:
    """One optimizer step: `step` of it done so far, mean loss over processes and micro-batches, learning rate, gradient
    norm before clipping."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float


class _Denoiser(nn.Module):
    """What DistributedDataParallel wraps: it knows the trained parameters; the frozen UNet is not registered."""

    def __init__(self, unet: nn.Module, model: PIAModel) -> None:
        super().__init__()
        self.model = model
        self._unet = (unet,)

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        return self._unet[0](noisy, timestep, context=text)


class Trainer:
    """Trains `model` in a frozen `unet`.

    Args:
        unet: LDM-layout UNet on the device; all its parameters are frozen here and stay as they are, bit for bit.
        model: the PIA model to train, in place (`fresh_model`, or loaded); moved to the device in float32.
        clips: `clips(first, count) -> ClipBatch`, see `objective.ClipSource`.
        processes: this process among several, and the device.
    Raises:
        TrainingError: fp16 without CUDA.
        UnsupportedModelError: not an SD1.5-layout UNet, or another width (at the first step).
    """

    def __init__(
        self,
        unet: nn.Module,
        model: PIAModel,
        config: TrainConfig,
        clips: ClipSource,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.device = self.processes.device
        if config.precision == "fp16" and self.device.type != "cuda":
            raise TrainingError(
                f"precision is fp16 on {self.device.type}; fp16 trains on CUDA only, so use bf16 or fp32."
            )
        self.config, self.clips = config, clips
        self.unet = unet.to(self.device).eval().requires_grad_(False)
        self.model = model.to(self.device, torch.float32).train()
        self.step = 0
        self.alphas_cumprod = linear_alphas_cumprod().float().to(self.device)
        self.trained = self._select()
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=config.weight_decay)
        self.scaler = torch.cuda.amp.GradScaler() if config.precision == "fp16" else None
        self.average = WeightAverage(self.trained, config.ema_decay) if config.ema_decay else None
        self.denoiser = self.processes.wrap(_Denoiser(self.unet, self.model))

    def _select(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name; all others are frozen."""
        condition = set(self.model.condition.parameters())
        for parameter in self.model.parameters():
            parameter.requires_grad_(
                self.config.stage != "motion" if parameter in condition else not self.config.freeze_motion
            )
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _groups(self) -> list[dict]:
        condition = set(self.model.condition.parameters())
        rates = {True: self.config.condition_learning_rate, False: self.config.learning_rate}
        rates[True] = rates[False] if rates[True] is None else rates[True]
        groups = [
            {
                "params": [p for p in self.trained.values() if (p in condition) == is_condition],
                "lr": rate,
                "base_lr": rate,
            }
            for is_condition, rate in rates.items()
        ]
        return [group for group in groups if group["params"]]

    def first_sample(self, micro: int) -> int:
        """Number of this process's first sample in micro-batch `micro` of the coming step. Processes take turns, so
        that two processes see in one step exactly what one with twice the batch sees."""
        c, p = self.config, self.processes
        return ((self.step * c.accumulate + micro) * p.count + p.rank) * c.batch_size

    def autocast(self) -> contextlib.AbstractContextManager:
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, kinds[self.config.precision])

    @contextlib.contextmanager
    def forward(self, batch: ClipBatch, first: int) -> Iterator[Tensor]:
        """The loss of a batch whose first sample has the number `first`. Backward must happen inside the block, while
        the model is in the UNet: gradient checkpointing runs layers again then."""
        check_batch(batch)
        batch = batch.to(self.device)
        draws = training_draws(self.config, first, batch.latents.shape)
        example = make_example(batch, draws, self.alphas_cumprod, self.config)
        with contextlib.ExitStack() as stack:
            if self.config.gradient_checkpointing:
                stack.enter_context(recompute_in_backward(self.unet, self.model))
            with self.autocast():
                stack.enter_context(inject(self.unet, self.model, example.condition, batch.latents.shape[1]))
                predicted = self.denoiser(example.noisy, example.timestep, example.text)
            yield eps_loss(predicted, example)

    def train_step(self) -> StepReport:
        """One optimizer step over `accumulate` micro-batches. TrainingError where the loss is not a number."""
        config = self.config
        factor = config.learning_rate_factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for micro in range(config.accumulate):
            first = self.first_sample(micro)
            is_last = micro == config.accumulate - 1
            wait = contextlib.nullcontext() if is_last or self.processes.count == 1 else self.denoiser.no_sync()
            with wait, self.forward(self.clips(first, config.batch_size), first) as loss:
                part = loss / config.accumulate
                (self.scaler.scale(part) if self.scaler else part).backward()
            total += part.detach()
        norm = self._update()
        self.step += 1
        loss = float(self.processes.mean(total))
        if loss != loss:
            raise TrainingError(
                f"The loss is not a number at step {self.step}; lower the learning rate, or use another precision."
            )
        return StepReport(self.step, loss, config.learning_rate * factor, norm)

    def _update(self) -> float:
        """Clips the gradients, steps the optimizer and the average; the gradients' norm before clipping."""
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained.values(), self.config.max_grad_norm or float("inf"))
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.average:
            self.average.update(self.trained)
        return float(norm)

    def exported(self) -> PIAModel:
        """A copy of the model on the CPU with the averaged weights (the raw ones where `ema_decay` is 0)."""
        model = copy.deepcopy(self.model).cpu().eval().requires_grad_(False)
        if self.average:
            model.load_state_dict({name: value.cpu() for name, value in self.average.mean.items()}, strict=False)
        return model

    def state_dict(self) -> dict:
        """All that a run needs to go on: there is no other state, since every draw follows from the seed and the
        sample's number."""
        return {
            "step": self.step,
            "weights": {name: value.detach() for name, value in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on from `state_dict()` of a run with the same model and config; TrainingError where they differ."""
        if set(state["weights"]) != set(self.trained) or (state["average"] is None) != (self.average is None):
            raise TrainingError(
                "The saved state is of a run that trained other weights; start it with the options it was started with."
            )
        with torch.no_grad():
            for name, value in state["weights"].items():
                self.trained[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]


@contextlib.contextmanager
def recompute_in_backward(unet: nn.Module, model: PIAModel) -> Iterator[None]:
    """Inside the block every layer of the UNet's blocks and every motion module keeps only its input. Enter it outside
    `inject`, and run backward inside: the layers run again there, and their norms must still see whole clips."""
    layers = [
        layer
        for blocks in (unet.input_blocks, [unet.middle_block], unet.output_blocks)
        for block in blocks
        for layer in block
    ]
    with contextlib.ExitStack() as stack:
        for layer in (*layers, *model.down, *model.up):
            stack.callback(_restore, layer, vars(layer).get("forward"))
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        yield


def _restore(layer: nn.Module, own_forward: object | None) -> None:
    """The layer's forward is again its class's, or what somebody had set on the instance."""
    if own_forward is None:
        del layer.forward
    else:
        layer.forward = own_forward
