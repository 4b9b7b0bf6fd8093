"""PIA for the miniature, by the project's own training, on the frozen base: motion modules (text-to-video), the
condition, the ablations."""

import contextlib
from pathlib import Path

import torch
from torch import nn

from lib_pia.checkpoint import load_pia_model
from lib_pia.model import PIAModel
from lib_pia.training import ClipSource, Processes, TrainConfig, Trainer, fresh_model, train

from .muon import Muon
from .through import Held, fixed_of_pia
from .vae import multiplies_bfloat16

PRECISION = "bf16" if multiplies_bfloat16() else "fp32"

# High noise weighs more and comes more often (see base.py); the paper's rate of 1e-5 is for pretrained motion modules
# of 1.7 GB, here they start from nothing. Constant rates and a moving average until the last quarter: a stage can be
# made longer while it runs.
COMMON = {
    "batch_size": 8, "learning_rate": 1.5e-3, "lr_schedule": "trapezoid", "warmup_steps": 30, "weight_decay": 1e-3,
    "ema_decay": 0.997, "high_noise_weight": 400.0, "noisiest_share": 0.3, "pure_noise": 0.5, "precision": PRECISION,
    "save_every": 25,
}  # fmt: skip
MOTION = COMMON | {"stage": "motion", "lr_schedule": "constant", "seed": 1}
CONDITION = COMMON | {"condition_learning_rate": 3e-3, "seed": 2}
ABLATIONS = {
    "reference": {},  # the full recipe
    "onehot": {"affinity_mode": "onehot"},  # 1 at the condition frame, 0 elsewhere
    "no_affinity": {"affinity_mode": "none"},
    "frozen_motion": {"freeze_motion": True},
}
COMPARED = tuple(f"{name}.{seed}" for name in ABLATIONS for seed in (1, 2, 3))


class HeldTrainer(Trainer):
    """The project's trainer on a base with a straight way for x_t (through.py), which PIA leaves alone; the motion
    modules' matrices take Muon's steps."""

    def __init__(self, unet: nn.Module, model: PIAModel, *rest):
        self.held = Held(model, fixed_of_pia(model))
        super().__init__(unet, model, *rest)
        self.optimizer = Muon(self._groups(), weight_decay=self.config.weight_decay)

    def _groups(self) -> list[dict]:
        groups = super()._groups()
        inner = [p for group in groups for p in group["params"] if p.ndim == 2]  # the condition conv has four
        for group in groups:
            group["params"] = [p for p in group["params"] if p.ndim != 2]
        rate = self.config.learning_rate
        groups.append({"params": inner, "lr": rate, "base_lr": rate, "matrices": True})
        return [group for group in groups if group["params"]]

    def _update(self) -> float:
        self.held.gradients()
        norm = super()._update()
        self.held.values()
        return norm


def quick_attention() -> contextlib.AbstractContextManager:
    """Attention as two products: torch's fused one is slow backwards at these sizes on a CPU (a whole step takes 1.2
    times as long)."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def train_stage(
    unet: nn.Module,
    start: PIAModel | None,
    source: ClipSource,
    out: Path,
    options: dict,
    processes: Processes | None = None,
) -> PIAModel:
    """One stage on the frozen base, from `start` or from nothing, going on where the folder was left; the averaged
    model. The batch of the options is of all processes together."""
    count = processes.count if processes else 1
    config = TrainConfig(**options | {"batch_size": options["batch_size"] // count})
    trainer = HeldTrainer(unet, start or fresh_model(unet), config, source, processes)
    with quick_attention():
        train(trainer, out, resume=True, progress=False)
    return load_pia_model(out / "pia.safetensors", dtype=torch.float32)
