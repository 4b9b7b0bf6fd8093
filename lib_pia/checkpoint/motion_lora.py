"""Motion LoRA of AnimateDiff (pan, zoom, roll): low-rank changes of the motion modules' attention.

They were trained on mm_sd_v15_v2, which PIA's motion modules descend from, so that their shapes fit. A file names each
change by its layer: `...attention_blocks.N.processor.to_q_lora.{down,up}.weight` (guoyww/AnimateDiff), or as diffusers
does (`attn1`, `lora_A`, `lora_B`). Those of v2's motion module in mid_block have no place in PIA and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from lib_pia.errors import CheckpointError
from lib_pia.model import PIAModel

from .index import Index, read_index
from .layout import meta_model
from .loading import describe
from .storage import read_tensor

KEY = re.compile(
    r"(?P<place>(?:down|up)_blocks\.\d+\.motion_modules\.\d+|mid_block\.motion_modules\.\d+)\."
    r"(?:temporal_transformer\.)?transformer_blocks\.0\.(?:attention_blocks\.(?P<block>[01])|attn(?P<attn>[12]))\."
    r"(?:processor\.)?to_(?P<layer>q|k|v|out)(?:\.0)?(?:_lora)?\.(?:lora\.|lora_)?(?P<side>down|up|A|B)\.weight$"
)
SIDES = {"down": "down", "A": "down", "up": "up", "B": "up"}


def is_motion_lora(path: str | Path) -> bool:
    """Whether a file is one, by its header; False for what cannot be read."""
    try:
        return any(KEY.search(name) for name in read_index(path).tensors)
    except CheckpointError:
        return False


def with_motion_loras(model: PIAModel, loras: Iterable[tuple[str | Path, float]]) -> PIAModel:
    """A PIA model with weights W + weight * up @ down for every (file, weight) of `loras`; `model` is not changed, and
    shares what is not.

    Raises:
        CheckpointError: a file is no motion LoRA, is broken, or was made for other widths.
    """
    weights = dict(model.state_dict())
    for path, weight in loras:
        for name, (down, up) in read_motion_lora(path).items():
            target = weights.get(name)
            wanted = None if target is None else tuple(target.shape)
            if wanted != (up.shape[0], down.shape[1]):
                raise CheckpointError(
                    f"The motion LoRA {Path(path).name} does not fit the PIA model: it changes {name} by a matrix of "
                    f"{up.shape[0]}x{down.shape[1]}, and there it is {_sides(wanted)}. Choose one for SD1.5."
                )
            change = weight * (up.float() @ down.float())
            weights[name] = (target.float() + change.to(target.device)).to(target.dtype)
    merged = meta_model(model.channels, model.max_frames)
    merged.load_state_dict(weights, assign=True)
    return merged.requires_grad_(False).eval()


def read_motion_lora(path: str | Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Per weight of PIAModel: (down [rank, in], up [out, rank]). Raises CheckpointError."""
    index = read_index(path)
    pairs: dict[str, dict[str, Tensor]] = {}
    with index.path.open("rb") as file:
        for name, stored in index.tensors.items():
            found = KEY.search(name)
            if found is None:
                raise CheckpointError(_refusal(index, name))
            if not found["place"].startswith("mid_block"):
                pairs.setdefault(_target(found), {})[SIDES[found["side"]]] = read_tensor(file, stored)
    if not pairs:
        raise CheckpointError(_refusal(index, "nothing for PIA's motion modules"))
    for target, pair in pairs.items():
        _check(index.name, target, pair)
    return {target: (pair["down"], pair["up"]) for target, pair in pairs.items()}


def _target(found: re.Match) -> str:
    block = found["block"] or str(int(found["attn"]) - 1)
    layer = "to_out.0" if found["layer"] == "out" else f"to_{found['layer']}"
    return f"{found['place']}.temporal_transformer.transformer_blocks.0.attention_blocks.{block}.{layer}.weight"


def _check(name: str, target: str, pair: dict[str, Tensor]) -> None:
    if set(pair) != {"down", "up"}:
        raise CheckpointError(f"The motion LoRA {name} is broken: {target} has only one of down and up.")
    down, up = pair["down"], pair["up"]
    if down.dim() != 2 or up.dim() != 2 or down.shape[0] != up.shape[1]:
        raise CheckpointError(
            f"The motion LoRA {name} is broken: down {list(down.shape)} and up {list(up.shape)} of {target} do not fit."
        )
    if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
        raise CheckpointError(f"The motion LoRA {name} is broken: {target} holds NaN or infinite weights.")


def _refusal(index: Index, what: str) -> str:
    kind = describe(index.path).name
    found = kind if "LoRA" not in kind else "another kind of LoRA"
    return f"{index.name} is not a motion LoRA: it is {found} (it holds {what}). Choose a motion LoRA of AnimateDiff."


def _sides(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else "x".join(map(str, shape))
