"""Personalised versions of the base: one LoRA per style, trained on pictures of that style, which PIA never sees.

The files have kohya's layout, which the WebUI's Lora extension loads: low-rank changes of the UNet's linear layers and
convolutions."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrize

from .base import Descent, Pictures
from .clips import clip_pool
from .net import Miniature
from .shapes import STYLES
from .through import hold_lora
from .training_log import Run

PERSONALISED = tuple(style for style in STYLES if style != "flat")
PICTURES = 1500  # per style
LINEAR_RANK, CONV_RANK = 4, 2
RES_LAYERS = {
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}


class LowRank(nn.Module):
    """A weight's parametrization: W + up @ down, up starting at zero."""

    def __init__(self, weight: torch.Tensor, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight[0].numel()) / weight[0].numel() ** 0.5)
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def kohya_name(name: str) -> str | None:
    """kohya's name of a layer of LDM's UNet (diffusers' block names), None for layers that a LoRA leaves alone."""
    name = name.replace(".", "_")
    match = re.fullmatch(r"(input|output)_blocks_(\d+)_(\d)_(.+)", name)
    if match:
        side, block, index, rest = match.group(1), int(match.group(2)), int(match.group(3)), match.group(4)
        level, layer = divmod(block - 1, 3) if side == "input" else divmod(block, 3)
        prefix = f"lora_unet_{'down' if side == 'input' else 'up'}_blocks_{level}"
    elif match := re.fullmatch(r"middle_block_(\d)_(.+)", name):
        index, rest = int(match.group(1)) % 2, match.group(2)
        prefix, layer = "lora_unet_mid_block", 0 if index else int(match.group(1)) // 2
    else:
        return None
    if index == 1 and rest.startswith(("proj_", "transformer_blocks_")):
        return f"{prefix}_attentions_{layer}_{rest}"
    return f"{prefix}_resnets_{layer}_{RES_LAYERS[rest]}" if index == 0 and rest in RES_LAYERS else None


def targets(unet: nn.Module) -> dict[str, nn.Module]:
    """The layers that a LoRA changes, by kohya's name."""
    layers = {kohya_name(n): m for n, m in unet.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    return {name: layer for name, layer in layers.items() if name}


def attach(unet: nn.Module) -> list[nn.Parameter]:
    """Make the weights low-rank changes of themselves; gives the parameters to train."""
    for layer in targets(unet).values():
        rank = CONV_RANK if layer.weight[0].numel() > layer.weight.shape[1] else LINEAR_RANK
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return [p for layer in targets(unet).values() for p in layer.parametrizations.weight[0].parameters()]


def save(unet: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write the attached LoRA as fp16. No alpha is written: readers take it to be the rank, so the change is up @
    down."""
    tensors = {}
    for name, layer in targets(unet).items():
        change, weight = layer.parametrizations.weight[0], layer.weight
        down = change.down.view(-1, *weight.shape[1:])
        up = change.up.view(len(weight), -1, *[1] * (weight.dim() - 2))
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file({n: t.detach().half().contiguous() for n, t in tensors.items()}, path, metadata=metadata)


@torch.no_grad()
def merge(unet: nn.Module, path: Path, strength: float = 1.0) -> None:
    """Add a LoRA file, of all layers or of some, to the UNet's weights, in place."""
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    for name, layer in targets(unet).items():
        if (down := tensors.get(f"{name}.lora_down.weight")) is not None:
            scale = strength * float(tensors.get(f"{name}.alpha", len(down))) / len(down)
            up = tensors[f"{name}.lora_up.weight"]
            layer.weight += scale * (up.flatten(1) @ down.flatten(1)).view_as(layer.weight)


def train(model: Miniature, run: Run, style: str, steps: int, batch: int = 32, rate: float = 3e-3) -> None:
    """Train a LoRA of `style` on the model's UNet, which has a straight way for x_t; it stays attached (`save` writes
    it)."""
    seed = 100 + STYLES.index(style)
    torch.manual_seed(seed)
    pictures = Pictures.of(clip_pool(model.vae, seed, PICTURES, style, distances=False), model)
    trained = attach(model.unet)
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, 0.99), weight_decay=1e-3, foreach=True)
    Descent(optimizer, 0.98, hold_lora(model.unet)).train(run, steps, model.unet, pictures, batch)
