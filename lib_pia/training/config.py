"""What a training run may be told: `TrainConfig`. The command line is made from its fields."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from lib_pia.errors import TrainingError

FALL = 0.25  # share of the steps in which "trapezoid" falls


def option(default: Any, help: str, low: float = 0, high: float = math.inf, choices: tuple[str, ...] = ()) -> Any:
    """A field of TrainConfig: its default, what it is, and what it may be."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run's options, all checked; a bad one raises TrainingError. Defaults: PIA's example/config/train.yaml, or as
    the help says."""

    steps: int = option(4500, "optimizer steps (paper, section 4.1: 4500)", low=1)
    batch_size: int = option(4, "clips per process and micro-batch", 1, 4096)
    accumulate: int = option(1, "micro-batches per optimizer step (paper: 16 GPUs; upstream: 16)", 1, 4096)
    learning_rate: float = option(1e-5, "paper, section 4.1", high=1)
    condition_learning_rate: float | None = option(None, "of the condition conv, if it is to differ", high=1)
    lr_schedule: str = option(
        "constant",
        "cosine: down to 0 at the last step; trapezoid: constant, then down to 0 over the last quarter",
        choices=("constant", "cosine", "trapezoid"),
    )
    warmup_steps: int = option(0, "steps in which the learning rate rises from 0")
    weight_decay: float = option(1e-2, "AdamW's", high=1)
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm; 0: not at all")
    ema_decay: float = option(
        0.999, "running mean of the exported weights; 0: export the raw weights, as upstream does", high=1
    )
    drop_condition: float = option(0.2, "share of clips whose affinity and image are zeroed together", high=1)
    drop_text: float = option(0.1, "share of clips trained on the empty text", high=1)
    high_noise_weight: float = option(
        1.0,
        "highest loss weight, at steps of much noise: min(1 / alphas_cumprod, this); 1: plain error, as in the paper",
        low=1,
    )
    noisiest_share: float = option(
        0.0, "share of clips whose timestep is drawn from the noisiest tenth; the others' from all", high=1
    )
    pure_noise: float = option(
        0.0,
        "share of the clips in the noisiest tenth that are noised until nothing of them is left: sampling starts "
        "there, training on this schedule never does (arXiv 2305.08891, section 3.1)",
        high=1,
    )
    stage: str = option(
        "condition",
        "motion: text-to-video, the image always dropped, only motion modules train; condition: the paper's "
        "training of PIA",
        choices=("condition", "motion"),
    )
    freeze_motion: bool = option(False, "ablation: only the condition conv trains")
    affinity_mode: str = option(
        "similarity",
        "ablations: onehot (1 at the condition frame, else 0), none (no affinity)",
        choices=("similarity", "onehot", "none"),
    )
    precision: str = option("fp32", "autocast type; fp16 needs CUDA (upstream: fp16)", choices=("fp32", "bf16", "fp16"))
    gradient_checkpointing: bool = option(False, "much less memory, about half more time")
    seed: int = option(42, "of every draw", high=2**63 - 1)
    save_every: int = option(500, "steps between saves; 0: only at the end")
    keep_every: int = option(0, "steps between weight files that are kept as pia-STEP.safetensors; 0: none")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        if self.stage == "motion" and self.freeze_motion:
            raise TrainingError(
                "stage is motion and freeze_motion is on, so nothing would train; turn one of them off."
            )

    def learning_rate_factor(self, step: int) -> float:
        """Factor of the learning rates at optimizer step `step` (0-based): warm-up, then constant or cosine. [0, 1]"""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.lr_schedule == "constant":
            return 1.0
        if self.lr_schedule == "trapezoid":
            return min(1.0, (self.steps - step) / max(1, self.steps * FALL))
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)))


def check(field: dataclasses.Field, value: object) -> None:
    """TrainingError where `value` is nothing that `field` of TrainConfig may be."""
    meta = field.metadata
    if meta["choices"]:
        fits, wanted = value in meta["choices"], "one of " + ", ".join(meta["choices"])
    elif field.type == "bool":
        fits, wanted = isinstance(value, bool), "true or false"
    elif value is None and "None" in field.type:
        return
    else:
        whole = field.type == "int"
        is_number = (
            isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        )
        fits = is_number and meta["low"] <= value <= meta["high"]
        span = f"of at least {meta['low']}" if math.isinf(meta["high"]) else f"from {meta['low']} to {meta['high']}"
        wanted = f"a {'whole ' if whole else ''}number {span}"
    if not fits:
        raise TrainingError(f"Training option {field.name} is {value!r}; it must be {wanted}.")
