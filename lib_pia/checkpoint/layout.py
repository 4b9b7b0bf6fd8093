"""From the tensors of a file to the official PIA names, with every shape checked before any weight is read."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass

import torch

from lib_pia.errors import CheckpointError
from lib_pia.model import LATENT_CHANNELS, SD15_CHANNELS, PIAModel
from lib_pia.motion_module import GROUPS, MAX_FRAMES

from .index import ADVICE, Index
from .kinds import PIA, Kind, Names, classify
from .storage import StoredTensor

CONV_IN, CONV_IN_BIAS = "conv_in.weight", "conv_in.bias"
MOTION_KEY = re.compile(r"^(down_blocks|up_blocks|mid_block)\.(\d+\.)?motion_modules\.\d+\.")
PE = ".attention_blocks.{}.pos_encoder.pe"

# diffusers MotionAdapter -> official names (inverse of diffusers'
# scripts/convert_animatediff_motion_module_to_diffusers.py).
# One `pos_embed.pe` serves both attentions there, and has an official name for each.
FROM_DIFFUSERS = (
    (".attn1.", ".attention_blocks.0."),
    (".attn2.", ".attention_blocks.1."),
    (".norm1.", ".norms.0."),
    (".norm2.", ".norms.1."),
    (".norm3.", ".ff_norm."),
)
WIDTH_KEY = re.compile(
    r"^(down|up)_blocks\.(\d+)\.motion_modules\.\d+\.temporal_transformer\.(?:norm|proj_in|proj_out)\.(?:weight|bias)$"
)


@dataclass(frozen=True)
class PIAFile:
    """A file that is a PIA model: its tensors under official names, in full."""

    index: Index
    # the model's own names; conv_in.weight with all 9 channels; conv_in.bias where the file has it
    tensors: dict[str, StoredTensor]
    channels: tuple[int, ...]
    max_frames: int
    naming: str  # "official" or "diffusers"

    def dtype(self) -> torch.dtype:
        """The one floating type of all motion tensors, or float32 if they differ or compute in it is impossible
        (float8, float64)."""
        kinds = {tensor.dtype for tensor in self.tensors.values()}
        only = kinds.pop() if len(kinds) == 1 else torch.float32
        return only if only in (torch.float16, torch.bfloat16) else torch.float32


def kind_of(index: Index) -> Kind:
    return classify(Names({name: tensor.shape for name, tensor in index.tensors.items()}, frozenset(index.others)))


def find_layout(index: Index) -> PIAFile:
    """Checks names, shapes and types against PIAModel.

    Raises:
        CheckpointError: the file is something else, or a PIA model with missing, extra or wrong tensors.
    """
    kind = kind_of(index)
    if kind != PIA:
        raise CheckpointError(refusal(index.name, kind))
    tensors, naming = _official_names(index)
    channels, max_frames = _widths(tensors), _frames(tensors)
    bad = next((c for c in channels if c < GROUPS or c % GROUPS), None)
    if bad is not None:
        raise _broken(
            index,
            f"one of its motion modules is {bad} channels wide, which is no multiple of {GROUPS} (its norm groups)",
        )
    if max_frames < 2:
        raise _broken(index, f"its position encoding is for {max_frames} frames")
    wanted = _wanted(channels, max_frames)
    _check_names(index, tensors, wanted)
    _check_shapes(index, tensors, wanted)
    return PIAFile(index, tensors, channels, max_frames, naming)


def meta_model(channels: tuple[int, ...], max_frames: int) -> PIAModel:
    """A PIAModel without memory for its weights (torch's meta device)."""
    with torch.device("meta"):
        return PIAModel(channels, max_frames)


def refusal(name: str, kind: Kind) -> str:
    """The sentence for a file that is `kind`, and what to get instead."""
    evidence = f" ({kind.evidence})" if kind.evidence else ""
    belongs = f", which belongs into {kind.folder}" if kind.folder else ""
    return f"{name} is not a PIA model: it is {kind.name}{evidence}{belongs}. {ADVICE}"


def _broken(index: Index, what: str) -> CheckpointError:
    return CheckpointError(f"{index.name} is a broken PIA model: {what}. {ADVICE}")


def _official_names(index: Index) -> tuple[dict[str, StoredTensor], str]:
    motion = {name: tensor for name, tensor in index.tensors.items() if MOTION_KEY.match(name)}
    diffusers = not any(".temporal_transformer." in name for name in motion)
    named: dict[str, StoredTensor] = {}
    for name, tensor in motion.items():
        for official in _from_diffusers(name) if diffusers else (name,):
            named[official] = tensor
    for name in (CONV_IN, CONV_IN_BIAS):
        if name in index.tensors:
            named[name] = index.tensors[name]
    return named, "diffusers" if diffusers else "official"


def _from_diffusers(name: str) -> tuple[str, ...]:
    name = re.sub(r"(\.motion_modules\.\d+)\.", r"\1.temporal_transformer.", name, count=1)
    if name.endswith(".pos_embed.pe"):
        stem = name.removesuffix(".pos_embed.pe")
        return stem + PE.format(0), stem + PE.format(1)
    for theirs, official in FROM_DIFFUSERS:
        name = name.replace(theirs, official)
    return (name,)


def _widths(tensors: dict[str, StoredTensor]) -> tuple[int, ...]:
    """Width per level as most of its tensors have it, so that one wrong tensor is named as the wrong one."""
    votes = [Counter[int]() for _ in SD15_CHANNELS]
    for name, tensor in tensors.items():
        match = WIDTH_KEY.match(name)
        if match and int(match[2]) < len(votes) and tensor.shape:
            level = int(match[2]) if match[1] == "down" else len(votes) - 1 - int(match[2])
            votes[level][tensor.shape[0]] += 1
    return tuple(vote.most_common(1)[0][0] if vote else usual for vote, usual in zip(votes, SD15_CHANNELS))


def _frames(tensors: dict[str, StoredTensor]) -> int:
    votes = Counter(
        tensor.shape[1] for name, tensor in tensors.items() if name.endswith(".pe") and len(tensor.shape) == 3
    )
    return votes.most_common(1)[0][0] if votes else MAX_FRAMES


@functools.lru_cache(maxsize=8)
def _wanted(channels: tuple[int, ...], max_frames: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a whole PIA file (without conv_in.bias, which PIA does not use)."""
    wanted = {name: tuple(tensor.shape) for name, tensor in meta_model(channels, max_frames).state_dict().items()}
    out, condition, *kernel = wanted[CONV_IN]
    return {**wanted, CONV_IN: (out, LATENT_CHANNELS + condition, *kernel)}


def _check_names(index: Index, tensors: dict[str, StoredTensor], wanted: dict[str, tuple[int, ...]]) -> None:
    missing = sorted(wanted.keys() - tensors.keys())
    extra = sorted(tensors.keys() - wanted.keys() - {CONV_IN_BIAS})
    if missing:
        raise _broken(index, f"{len(missing)} of {len(wanted)} tensors are missing, such as {missing[0]}")
    if extra:
        raise _broken(index, f"it has {len(extra)} motion tensors that PIA does not have, such as {extra[0]}")


def _check_shapes(index: Index, tensors: dict[str, StoredTensor], wanted: dict[str, tuple[int, ...]]) -> None:
    wrong = [name for name, shape in wanted.items() if tensors[name].shape != shape]
    if wrong:
        name = wrong[0]
        raise _broken(
            index,
            f"{len(wrong)} of its tensors have the wrong shape, such as {name} with {list(tensors[name].shape)} "
            f"instead of {list(wanted[name])}",
        )
    whole = [name for name in tensors if not tensors[name].dtype.is_floating_point]
    if whole:
        raise _broken(
            index,
            f"{len(whole)} of its tensors hold {_short(tensors[whole[0]].dtype)} instead of floating-point numbers, "
            f"such as {whole[0]}",
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
