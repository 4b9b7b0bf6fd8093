"""Putting a PIA model into a UNet for the time of a block, and taking it out without a trace.

Everything is done by forward hooks on layers of the UNet. Nothing is inserted, replaced or assigned in the UNet, so its
state dict, its attributes and what other extensions do to it stay as they are; the hooks are removed by their handles.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .errors import HostError, UnsupportedModelError
from .frame_norm import clip_group_norm
from .model import PIAModel

# LDM layout of SD1.5 (ldm/modules/diffusionmodules/openaimodel.py): blocks that end in a layer with a motion module
DOWN_SITES = (1, 2, 4, 5, 7, 8, 10, 11)
UP_SITES = tuple(range(12))
BLOCKS = 12
FRAME_NORMS = 45  # 22 ResBlocks with two norms each, and the norm before the output convolution
SITE_LAYERS = ("ResBlock", "SpatialTransformer")

_injected: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # UNets that hold a PIA model now; a second one is refused


@dataclasses.dataclass(frozen=True)
class Sites:
    """Where a PIA model attaches: the first convolution, the layers before each motion module, the norms over the whole
    clip."""

    conv_in: nn.Module
    down: tuple[nn.Module, ...]
    up: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]
    channels: tuple[int, ...]  # width of each motion site, down then up


def _refuse(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The selected checkpoint is not a Stable Diffusion 1.5 model: {what}. "
        "PIA animates SD1.5 checkpoints only; select one."
    )


def _class_names(module: nn.Module) -> set[str]:
    return {cls.__name__ for cls in type(module).__mro__}


def _site(block: nn.Module, name: str) -> tuple[nn.Module, int]:
    """The last ResBlock or SpatialTransformer of a block, and its width."""
    layers = [layer for layer in block.children() if _class_names(layer) & set(SITE_LAYERS)]
    if not layers or "ResBlock" not in _class_names(layers[0]):
        raise _refuse(f"its UNet has no ResBlock in {name}")
    convs = [m for m in layers[0].out_layers.modules() if isinstance(m, nn.Conv2d)]
    return layers[-1], convs[-1].out_channels


def find_sites(unet: nn.Module) -> Sites:
    """The sites of `unet`, an LDM-layout SD1.5 UNet of any width; touches nothing.

    Raises:
        UnsupportedModelError: the UNet has another layout (SDXL, SD2, ...), saying what is different.
    """
    blocks = {name: getattr(unet, name, None) for name in ("input_blocks", "middle_block", "output_blocks", "out")}
    missing = [name for name, value in blocks.items() if value is None]
    if missing:
        raise _refuse(f"its UNet ({type(unet).__name__}) has no {', '.join(missing)}")
    inputs, outputs = blocks["input_blocks"], blocks["output_blocks"]
    if (len(inputs), len(outputs)) != (BLOCKS, BLOCKS):
        raise _refuse(
            f"its UNet has {len(inputs)} input and {len(outputs)} output blocks where SD1.5 has {BLOCKS} and {BLOCKS}"
        )
    conv_in = next((m for m in inputs[0].children() if isinstance(m, nn.Conv2d)), None)
    if conv_in is None:
        raise _refuse("its UNet has no first convolution")
    down = [_site(inputs[i], f"input_blocks.{i}") for i in DOWN_SITES]
    up = [_site(outputs[i], f"output_blocks.{i}") for i in UP_SITES]
    norms = tuple(m for m in unet.modules() if "GroupNorm32" in _class_names(m))
    if len(norms) != FRAME_NORMS:
        raise _refuse(f"its UNet has {len(norms)} GroupNorm32 layers where SD1.5 has {FRAME_NORMS}")
    return Sites(conv_in, tuple(m for m, _ in down), tuple(m for m, _ in up), norms, tuple(c for _, c in (*down, *up)))


def _check_widths(model: PIAModel, sites: Sites) -> None:
    theirs = (sites.conv_in.out_channels, *sites.channels)
    ours = (model.condition.weight.shape[0], *(module.dim for module in (*model.down, *model.up)))
    if theirs != ours:
        raise UnsupportedModelError(
            f"The PIA model was made for a UNet of widths {_widths(ours)}, but the selected checkpoint's UNet has "
            f"{_widths(theirs)}; use the PIA model that belongs to this kind of checkpoint."
        )


COMPUTED_IN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # others (float8) only store weights


def _check_dtypes(model: PIAModel, sites: Sites) -> None:
    """Where autocast does not bring them together, torch's own error would come from deep inside the UNet."""
    theirs, ours = sites.conv_in.weight.dtype, model.condition.weight.dtype
    if theirs != ours and {theirs, ours} <= set(COMPUTED_IN) and not _autocast(model.condition.weight.device.type):
        theirs, ours = (str(kind).removeprefix("torch.") for kind in (theirs, ours))
        raise UnsupportedModelError(
            f"The PIA model is in {ours}, but the selected checkpoint's UNet is in {theirs}; "
            f"load the PIA model with dtype=torch.{theirs}, or convert it with model.to(torch.{theirs})."
        )


def _autocast(device: str) -> bool:
    """Whether autocast is on for a device type; torch 2.1 has a function for each."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:
        return torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()


def _widths(widths: tuple[int, ...]) -> str:
    return "/".join(map(str, dict.fromkeys(widths)))


@contextmanager
def inject(
    unet: nn.Module, model: PIAModel, condition: Tensor, num_frames: int | None = None
) -> Iterator[Callable[[Tensor], None]]:
    """Inside the block `unet(x, t, ...)` is PIA's network; afterwards `unet` is bit for bit what it was.

    Rows of a call are B*F, frame fastest (row b*F + f is frame f of group b); B is derived from each call, so that cond
    and uncond may come together or apart. The condition features are computed once, here. Works under autograd.
    Yields a function that takes another condition of the same shape, for the calls from then on.

    Args:
        unet: an LDM-layout SD1.5 UNet of any width (ldm `UNetModel`).
        model: the PIA model, on the UNet's device, of the UNet's width and floating type (or under autocast).
        condition: [F, 5, H, W] of `build_condition`; or [K*F, 5, H, W] for K clips with `num_frames`: then rows are a
        multiple of K*F.
        num_frames: F, if the condition holds more than one clip.
    Raises:
        UnsupportedModelError: another layout, width or floating type. HostError: a PIA model is in there already.
        Inside the block, HostError from `unet(...)` whose rows F does not divide.
    """
    sites = find_sites(unet)
    _check_widths(model, sites)
    _check_dtypes(model, sites)
    frames = num_frames or condition.shape[0]
    if condition.shape[0] % frames or condition.dim() != 4 or condition.shape[1] != 5:
        raise HostError(
            f"The PIA condition has shape {list(condition.shape)}; it must be [F, 5, H, W], F = {frames} or a "
            "multiple of it."
        )
    if frames > model.max_frames:
        raise UnsupportedModelError(
            f"The clip has {frames} frames, but the PIA model knows at most {model.max_frames}; ask for fewer."
        )
    if unet in _injected:
        raise HostError("A PIA model is in this UNet already; leave the first inject() before entering another.")
    run = _Run(model, frames, condition)
    with ExitStack() as stack:
        _injected.add(unet)
        stack.callback(_injected.discard, unet)
        for layer, hook in run.hooks(sites):
            stack.callback(layer.register_forward_hook(hook).remove)
        for norm in sites.norms:
            run.attach_norm(norm, stack)
        yield run.show


class _Run:
    """One injection: the clip length, the condition features, and the hooks that use them."""

    def __init__(self, model: PIAModel, num_frames: int, condition: Tensor) -> None:
        self.model = model
        self.num_frames = num_frames
        self.features: Tensor
        self.show(condition)

    def show(self, condition: Tensor) -> None:
        """Takes the condition [K*F, 5, H, W] for the calls from now on."""
        self.features = self.model.condition(condition)  # [K*F, C, H, W]

    def hooks(self, sites: Sites) -> Iterator[tuple[nn.Module, object]]:
        yield sites.conv_in, self._add_condition
        for layer, module in zip((*sites.down, *sites.up), (*self.model.down, *self.model.up)):
            yield layer, self._motion_hook(module)

    def groups(self, rows: int) -> int:
        """B of a call with `rows` rows."""
        if rows % self.num_frames:
            raise HostError(
                f"The UNet was called with {rows} rows, which clips of {self.num_frames} frames do not divide; an "
                "extension or "
                "setting splits the batch. Switch it off, or change the number of frames."
            )
        return rows // self.num_frames

    def _add_condition(self, layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
        self.groups(len(output))
        features = self.features
        if len(output) % len(features):
            raise HostError(
                f"The UNet was called with {len(output)} rows, which the PIA condition's {len(features)} do not "
                "divide; "
                "call it with whole clips."
            )
        if output.shape[1:] != features.shape[1:]:
            raise HostError(
                f"The UNet was called with a latent of {output.shape[3]}x{output.shape[2]}; the PIA condition has "
                f"{features.shape[3]}x{features.shape[2]}. Animate at the size of the picture."
            )
        if features.dtype != output.dtype or features.device != output.device:
            features = self.features = features.to(output)
        return (output.unflatten(0, (-1, len(features))) + features).flatten(0, 1)

    def _motion_hook(self, module: nn.Module):
        def hook(layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
            self.groups(len(output))
            return module(output, self.num_frames)

        return hook

    def attach_norm(self, norm: nn.Module, stack: ExitStack) -> None:
        """Lets `norm` take its statistics over whole clips: its own computation gets one small corner, and its output
        is replaced."""
        waiting: list[Tensor] = []

        def before(layer: nn.Module, args: tuple) -> tuple:
            self.groups(len(args[0]))
            waiting[:] = [args[0]]
            return (args[0][:2, :, :2, :2], *args[1:])

        def after(layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
            return clip_group_norm(waiting.pop(), self.num_frames, layer)

        stack.callback(norm.register_forward_pre_hook(before).remove)
        stack.callback(norm.register_forward_hook(after).remove)
        stack.callback(waiting.clear)
