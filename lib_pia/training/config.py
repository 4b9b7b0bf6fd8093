"""What a training run may be told: `TrainConfig`."""
from __future__ import annotations

import dataclasses
import math

from lib_pia.errors import TrainingError

STAGES = ("condition", "motion")
AFFINITY_MODES = ("similarity", "onehot", "none")
PRECISIONS = ("fp32", "bf16", "fp16")
LR_SCHEDULES = ("constant", "cosine")

# name: (lowest, highest) of every number; whole numbers are the fields annotated `int`
RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, math.inf), "batch_size": (1, 4096), "accumulate": (1, 4096), "learning_rate": (0, 1), "condition_learning_rate": (0, 1),
    "warmup_steps": (0, math.inf), "weight_decay": (0, 1), "max_grad_norm": (0, math.inf), "ema_decay": (0, 1), "drop_condition": (0, 1),
    "drop_text": (0, 1), "high_noise_weight": (1, 1e6), "seed": (0, 2**63 - 1), "save_every": (0, math.inf), "keep_every": (0, math.inf),
}
CHOICES = {"stage": STAGES, "affinity_mode": AFFINITY_MODES, "precision": PRECISIONS, "lr_schedule": LR_SCHEDULES}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run's options, all checked; a bad one raises TrainingError. Defaults without another note: PIA's example/config/train.yaml."""

    steps: int = 4500                              # optimizer steps; paper, section 4.1
    batch_size: int = 4                            # clips per process and micro-batch
    accumulate: int = 1                            # micro-batches per optimizer step
    learning_rate: float = 1e-5                    # paper, section 4.1 (train.yaml has 1e-4)
    condition_learning_rate: float | None = None   # of the condition conv; None: learning_rate
    lr_schedule: str = "constant"                  # or "cosine": down to 0 at the last step
    warmup_steps: int = 0                          # linear from 0
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0                     # 0: no clipping
    ema_decay: float = 0.999                       # of the exported weights; 0: export the raw weights, as upstream does
    drop_condition: float = 0.2                    # share of clips whose affinity and latent are zeroed together
    drop_text: float = 0.1                         # share of clips trained on the empty text
    high_noise_weight: float = 1.0                 # loss weight min(1 / alphas_cumprod[t], this); 1: the paper's plain eps error (ours)
    stage: str = "condition"                       # "motion": text-to-video, condition always dropped, only the motion modules train
    freeze_motion: bool = False                    # ablation: only the condition conv trains
    affinity_mode: str = "similarity"              # ablations: "onehot" (1 at the condition frame, else 0), "none" (no affinity channel)
    precision: str = "fp32"                        # autocast type; fp16 needs CUDA (upstream: fp16)
    gradient_checkpointing: bool = False           # less memory, about a third more time
    seed: int = 42
    save_every: int = 500                          # steps between saves; 0: only at the end
    keep_every: int = 0                            # steps between weight files that stay (pia-STEP.safetensors); 0: none

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check(field.name, getattr(self, field.name), whole=field.type == "int")
        if self.stage == "motion" and self.freeze_motion:
            raise TrainingError("stage is \"motion\" and freeze_motion is on, so nothing would train; turn one of them off.")

    def _check(self, name: str, value: object, whole: bool) -> None:
        if name in CHOICES and value not in CHOICES[name]:
            raise TrainingError(f"Training option {name} is {value!r}; it must be one of {', '.join(CHOICES[name])}.")
        if name not in RANGES or (name == "condition_learning_rate" and value is None):
            return
        low, high = RANGES[name]
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or math.isinf(value):
            kind = "whole number" if whole else "number"
            span = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise TrainingError(f"Training option {name} is {value!r}; it must be a {kind} {span}.")

    def learning_rate_factor(self, step: int) -> float:
        """Factor of the learning rates at optimizer step `step` (0-based): warm-up, then constant or cosine. [0, 1]"""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.lr_schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)))
