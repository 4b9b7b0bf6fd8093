"""Weights: where training starts (a new PIA model that changes nothing yet, or motion modules from a file), and the
running mean that gets exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_pia.checkpoint.index import read_index
from lib_pia.checkpoint.storage import read_tensor
from lib_pia.condition import CHANNELS
from lib_pia.errors import CheckpointError, TrainingError
from lib_pia.injection import find_sites
from lib_pia.model import LATENT_CHANNELS, PIAModel


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .ckpt file, without running code from it; TrainingError where it is neither."""
    if not path.is_file():
        raise TrainingError(f"{path} does not exist; give the path of a .safetensors or .ckpt file.")
    try:
        index = read_index(path)
        with path.open("rb") as file:
            return {name: read_tensor(file, stored) for name, stored in index.tensors.items()}
    except (CheckpointError, OSError) as error:
        raise TrainingError(
            f"{path.name} cannot be read as weights; it must be a .safetensors or .ckpt file, complete."
        ) from error


def fresh_model(unet: nn.Module, seed: int = 42) -> PIAModel:
    """A PIA model of `unet`'s widths that leaves it as it is: condition conv and every motion module's last layer zero,
    the rest seeded (AnimateDiff motion_module.py `zero_initialize`). UnsupportedModelError where the UNet is none of
    SD1.5's layout."""
    sites = find_sites(unet)
    channels = tuple(sites.channels[:8:2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PIAModel(channels)
    silence(model)
    return model


@torch.no_grad()
def silence(model: PIAModel) -> None:
    """Zeroes the condition conv and the last layer of every motion module."""
    model.condition.weight.zero_()
    for module in (*model.down, *model.up):
        for parameter in module.temporal_transformer.proj_out.parameters():
            parameter.zero_()


@torch.no_grad()
def load_initial(model: PIAModel, tensors: Mapping[str, Tensor], name: str) -> bool:
    """Copies into `model` what a file called `name` holds (`tensors` under the official names): the motion modules of
    an AnimateDiff file, or motion modules and condition conv of a PIA file; tells whether there was a condition conv.

    What has no place in PIA (AnimateDiff v2's middle block) and the position encodings (the same sines in every file;
    v1 has only 24 of them) are left out. TrainingError where a module is missing or has another size.
    """
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    own = {
        key: value for key, value in model.state_dict().items() if ".motion_modules." in key and not key.endswith(".pe")
    }
    missing = [key for key in own if key not in tensors]
    if missing:
        raise TrainingError(
            f"{name} has no {missing[0]} (and {len(missing) - 1} others); give --init a PIA file or an "
            "AnimateDiff motion module for SD1.5 (mm_sd_v15_v2.ckpt)."
        )
    condition = tensors.get("conv_in.weight")
    if condition is not None and condition.shape[1] == LATENT_CHANNELS + CHANNELS:
        own["conv_in.weight"], tensors["conv_in.weight"] = model.condition.weight, condition[:, LATENT_CHANNELS:]
    for key, value in own.items():
        if value.shape != tensors[key].shape:
            raise TrainingError(
                f"{name} is for a UNet of another width: {key} is {list(tensors[key].shape)}, this checkpoint needs "
                f"{list(value.shape)}; choose a file made for this kind of checkpoint."
            )
        value.copy_(tensors[key])
    return "conv_in.weight" in own


class WeightAverage:
    """Exponential moving average in float32. The decay grows from 0.1 towards `decay` as min(decay, (1 + n) / (10 +
    n)), so that the first steps do not hold the start for long (the warm-up of TensorFlow's ExponentialMovingAverage
    with num_updates)."""

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.mean = {name: value.detach().float().clone() for name, value in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor]) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in weights.items():
            self.mean[name].lerp_(value.detach().float(), 1 - decay)

    def state_dict(self) -> dict:
        return {"updates": self.updates, "mean": self.mean}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for name, value in state["mean"].items():
            self.mean[name].copy_(value)
