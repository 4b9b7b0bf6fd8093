"""PIA for the miniature, by the project's own training: motion modules (text-to-video), the condition, the base along with it, the ablations.

The base is frozen but in `joint`, `settle` and `follow`. The ablations go on from the same motion stage, with the same clips, draws and steps.
Several processes (`torchrun`) share a batch and see what one sees.
"""

from pathlib import Path

import torch

from lib_pia.checkpoint import load_pia_model
from lib_pia.model import PIAModel
from lib_pia.training import Processes, TrainConfig, fresh_model, join_processes, train

from .base import Emphasis, Pool, drawn_loss, schedules
from .clips import PoolSource
from .fast import quick_attention
from .net import Miniature
from .trainers import Joint, JointTrainer, QuickTrainer

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
# At last the base's UNet trains along (see the model card): first on conditions as before, then mostly on the clip's first frame.
JOINT = CONDITION | {
    "batch_size": 8, "learning_rate": 6e-4, "condition_learning_rate": 2e-3, "high_noise_weight": 200.0, "ema_decay": 0.997, "seed": 7,
}  # fmt: skip
SETTLE = JOINT | {"lr_schedule": "cosine", "warmup_steps": 30, "ema_decay": 0.995, "save_every": 50, "seed": 8}
FOLLOW = SETTLE | {"warmup_steps": 20, "ema_decay": 0.99, "seed": 9}  # the same again, with the motion's words stressed (words.py)
# On the base with a straight way for x_t, frozen again: the noisiest steps often, and half of them from pure noise, as sampling starts.
STEER = CONDITION | {
    "batch_size": 8, "learning_rate": 1e-3, "condition_learning_rate": 3e-3, "high_noise_weight": 400.0, "noisiest_share": 0.3, "pure_noise": 0.5,
    "lr_schedule": "cosine", "warmup_steps": 30, "ema_decay": 0.995, "save_every": 50, "seed": 11,
}  # fmt: skip
SETTLE_FIRST = 0.6  # share of samples conditioned on the clip's first frame
JOINT_RATE = 2.5e-4  # the UNet's
JOINT_PICTURES = 32  # every third step, over all processes, so that pictures from text stay good
JOINT_EMPHASIS = Emphasis(100.0, 0.5)
SHORT_FRAMES = 4
POLISH = STEER | {"learning_rate": 5e-4, "condition_learning_rate": 1.5e-3, "seed": 15}
# The ablations and what they are compared with: from text-to-video modules on the straight base, as STEER, but shorter.
AGAIN = MOTION | {"batch_size": 8, "learning_rate": 6e-4, "high_noise_weight": 400.0, "noisiest_share": 0.3, "pure_noise": 0.5, "seed": 12}
COMPARED = STEER | {"batch_size": 4, "condition_learning_rate": 5e-3, "ema_decay": 0.99, "save_every": 250, "seed": 13}
ABLATIONS = {
    "reference": {},  # the full recipe
    "onehot": {"affinity_mode": "onehot"},  # 1 at the condition frame, 0 elsewhere
    "no_affinity": {"affinity_mode": "none"},
    "frozen_motion": {"freeze_motion": True},
}


def config_of(options: dict, processes: Processes) -> TrainConfig:
    """The options of a stage, its batch shared among the processes."""
    options = COMMON | options
    return TrainConfig(**options | {"batch_size": options["batch_size"] // processes.count})


def train_stage(model: Miniature, start: PIAModel | None, source: PoolSource, out: Path, options: dict,
                trainer_of: type[QuickTrainer] = QuickTrainer) -> PIAModel:  # fmt: skip
    """One stage with the project's trainer on the frozen base, going on where the folder was left; the averaged model."""
    with join_processes("cpu") as processes:
        trainer = trainer_of(model.unet, start or fresh_model(model.unet), config_of(options, processes), source, processes)
        train(trainer, out, resume=True, progress=False)
    return load_pia_model(out / "pia.safetensors", dtype=torch.float32)


def train_joint(model: Miniature, start: PIAModel, data: tuple[PoolSource, Pool], out: Path, options: dict) -> bool:
    """PIA and the base's UNet together, on clips and on pictures; leaves the averaged UNet in `model`. Whether this is the first process."""
    source, pool = data
    both = schedules()
    with join_processes("cpu") as processes:
        count = JOINT_PICTURES // processes.count

        def pictures(number: int) -> torch.Tensor:
            torch.manual_seed(number)
            with quick_attention():
                return drawn_loss(model, pool, count, both, JOINT_EMPHASIS)

        trainer = JointTrainer(model.unet, start, config_of(options, processes), source, processes, Joint(JOINT_RATE, pictures))
        train(trainer, out, resume=True, progress=False)
        model.unet.load_state_dict(trainer.unet_state())
        return processes.is_first
