"""PIA for the miniature, by the project's own training: motion modules (text-to-video), the condition, the paper's ablations.

The base is frozen throughout. The ablations go on from the same motion stage, with the same clips, draws and number of steps.
"""

from pathlib import Path

import torch

from lib_pia.checkpoint import load_pia_model
from lib_pia.model import PIAModel
from lib_pia.training import TrainConfig, Trainer, fresh_model, train

from .clips import PoolSource
from .fast import quick_attention
from .net import Miniature

# The base is small and both schedules end in almost pure noise: high noise weighs more (see base.py); the paper's 1e-5 is for 1.7 GB of
# pretrained motion modules, here they start from nothing.
COMMON = {
    "batch_size": 4, "warmup_steps": 50, "weight_decay": 1e-3, "ema_decay": 0.995, "high_noise_weight": 12.0, "precision": "bf16",
    "save_every": 100,
}  # fmt: skip
MOTION = {"stage": "motion", "learning_rate": 1e-3, "lr_schedule": "cosine", "seed": 1}
# The picture decides where things are in the first, noisiest steps of sampling, where alpha_bar is 0.002: the cap is high.
# First many clips of few frames, from which the condition is learned faster; then whole clips.
CONDITION = {"stage": "condition", "learning_rate": 1e-3, "condition_learning_rate": 5e-3, "high_noise_weight": 100.0}
SHORT = CONDITION | {"batch_size": 16, "keep_every": 100, "seed": 3}
WHOLE = CONDITION | {
    "accumulate": 4, "lr_schedule": "cosine", "learning_rate": 6e-4, "condition_learning_rate": 3e-3, "save_every": 25, "keep_every": 100,
    "seed": 5,
}  # fmt: skip
SHORT_FRAMES = 4
ABLATIONS = {
    "onehot": {"affinity_mode": "onehot"},  # 1 at the condition frame, 0 elsewhere
    "no_affinity": {"affinity_mode": "none"},
    "frozen_motion": {"freeze_motion": True},
}


def train_stage(model: Miniature, start: PIAModel | None, source: PoolSource, out: Path, options: dict) -> PIAModel:
    """One stage with the project's trainer, going on where the folder was left; the averaged model."""
    config = TrainConfig(**(COMMON | options))
    trainer = Trainer(model.unet, start or fresh_model(model.unet), config, source)
    with quick_attention():
        train(trainer, out, resume=True, progress=False)
    return load_pia_model(out / "pia.safetensors", dtype=torch.float32)
