"""Tells model files apart by the names and shapes of their tensors.

Sources of the patterns: ComfyUI-AnimateDiff-Evolved (motion_module_ad.py, motion_lora.py, adapter_*.py) and
sd-webui-animatediff (motion_module.py) for motion modules; the file layouts of diffusers, kohya-ss, LDM, IP-Adapter and
ControlNet for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MOTION = re.compile(r"(^|[._])(motion_modules|temporal_attentions|temporal_transformer)[._]")
LORA = re.compile(r"(^|[._])lora[._]|\.hada_w\d|\.lokr_w\d|\.oft_blocks")
PIA_CONV_IN = 9  # input channels: 4 latent, 1 affinity, 4 condition latent (PIA, unet.py)
V1_FRAMES, V3_FRAMES = 24, 32  # lengths of the position encoding of AnimateDiff v1 and v3 (motion_module_ad.py)
CONTEXT_OF = {768: "SD1.5", 1024: "SD2", 2048: "SDXL"}  # width of the text context that a UNet attends to


@dataclass(frozen=True)
class Kind:
    """What a file is: a noun phrase with its article, how one can tell, and where such a file belongs ("" if nowhere in
    the WebUI)."""

    name: str
    evidence: str = ""
    folder: str = ""


PIA = Kind("a PIA model")


@dataclass(frozen=True)
class Names:
    """Questions about the tensors of a file."""

    shapes: Mapping[str, tuple[int, ...]]
    others: frozenset[str] = field(default_factory=frozenset)

    def starts(self, *prefixes: str) -> bool:
        return any(name.startswith(prefixes) for name in self.shapes)

    def has(self, *parts: str) -> bool:
        return any(part in name for name in self.shapes for part in parts)

    def ends(self, *suffixes: str) -> bool:
        return any(name.endswith(suffixes) for name in self.shapes)

    def matches(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(name) for name in self.shapes)

    def size(self, suffix: str, axis: int) -> int | None:
        """Length of `axis` of the first tensor (with that axis) whose name ends with `suffix`."""
        return next(
            (shape[axis] for name, shape in self.shapes.items() if name.endswith(suffix) and len(shape) > axis), None
        )


def classify(names: Names) -> Kind:
    """What the tensors belong to. PIA is recognised by motion modules and a `conv_in.weight` with 9 input channels."""
    if not names.shapes:
        return Kind(
            "a file without tensors", "holds none" if not names.others else "holds only settings or training state"
        )
    if names.matches(MOTION):
        return _motion_kind(names)
    for kind in (_adapter, _ldm_checkpoint, _diffusers_unet, _part, _embedding):
        found = kind(names)
        if found:
            return found
    examples = ", ".join(sorted(names.shapes)[:2])
    return Kind("of a kind not known here", f"{len(names.shapes)} tensors, such as {examples[:120]}")


def conv_in_channels(names: Names) -> int | None:
    """Input channels of a file's `conv_in.weight`; None without it."""
    shape = names.shapes.get("conv_in.weight", ())
    return shape[1] if len(shape) == 4 else None


def _motion_kind(names: Names) -> Kind:
    middle = names.has("mid_block.motion_modules", "mid_block_motion_modules")
    if names.matches(LORA):
        return Kind("a motion LoRA for AnimateDiff" + (" v2" if middle else ""), "low-rank matrices of motion modules")
    if names.has("controlnet_cond_embedding", "controlnet_down_blocks", "input_hint_block"):
        return Kind("a SparseCtrl model", "controlnet tensors beside motion modules", "models/ControlNet")
    if "FancyVideo" in names.others or names.starts("FancyVideo", "fps_embedding.", "motion_embedding."):
        return Kind("a FancyVideo motion module", "fps and motion embeddings")
    if conv_in_channels(names) == PIA_CONV_IN:
        return PIA
    return _animatediff(names, middle)


def _animatediff(names: Names, middle: bool) -> Kind:
    without = "no 9-channel conv_in.weight"
    channels = conv_in_channels(names)
    if channels not in (None, 4):
        return Kind(
            "a motion model of another architecture",
            f"its conv_in.weight takes {channels} channels, PIA's takes {PIA_CONV_IN}: "
            "4 latent, 1 affinity, 4 condition latent",
        )
    if not names.has("down_blocks.3.", "up_blocks.3."):
        return Kind("a motion module for SDXL (AnimateDiff-XL, HotshotXL)", f"three UNet levels, {without}")
    frames = names.size(".pe", 1)
    if frames is None:
        return Kind("an AnimateLCM motion module", f"no position encoding, {without}")
    if middle:
        return Kind("an AnimateDiff v2 motion module", f"motion modules in mid_block, {without}")
    version = {V1_FRAMES: " v1", V3_FRAMES: " v3"}.get(frames, "")
    return Kind(f"an AnimateDiff{version} motion module", f"{without}; position encoding of {frames} frames")


def _adapter(names: Names) -> Kind | None:
    if names.starts("image_proj.", "ip_adapter.") or names.has(".to_k_ip."):
        return Kind("an IP-Adapter", "image_proj and ip_adapter tensors", "models/ControlNet")
    if names.matches(LORA) or names.starts("lora_te"):
        xl = names.starts("lora_te2_") or names.size("attn2_to_k.lora_down.weight", 1) == 2048
        return Kind("an SDXL LoRA" if xl else "a LoRA", "low-rank matrices", "models/Lora")
    if names.starts("control_model.", "controlnet_", "input_hint_block."):
        return Kind("a ControlNet", "control tensors", "models/ControlNet")
    return None


def _ldm_checkpoint(names: Names) -> Kind | None:
    unet = "model.diffusion_model."
    if not names.starts(unet):
        return None
    folder = "models/Stable-diffusion"
    if names.starts(unet + "joint_blocks.", unet + "double_blocks."):
        return Kind("a plain checkpoint of a newer model (SD3, Flux)", "transformer blocks instead of a UNet", folder)
    inpaints = names.size(unet + "input_blocks.0.0.weight", 1) == PIA_CONV_IN
    kind = f"an {_version(names)} inpainting checkpoint" if inpaints else f"a plain {_version(names)} checkpoint"
    return Kind(kind, "model.diffusion_model tensors, no motion modules", folder)


def _version(names: Names) -> str:
    return CONTEXT_OF.get(
        names.size("attn2.to_k.weight", 1) or 0, "SDXL" if names.starts("conditioner.") else "Stable Diffusion"
    )


def _diffusers_unet(names: Names) -> Kind | None:
    if not names.has("down_blocks.0.resnets.", "up_blocks.0.resnets.") or names.starts("encoder.", "decoder."):
        return None
    return Kind(f"the {_version(names)} UNet of a diffusers model", "no motion modules")


def _part(names: Names) -> Kind | None:
    if names.starts("first_stage_model.") or (
        names.has("encoder.conv_in.", "decoder.conv_in.") and names.has("decoder.", "encoder.down")
    ):
        return Kind("a VAE", "encoder and decoder tensors", "models/VAE")
    if names.starts("conv_first.", "model.0.weight", "params_ema.", "params."):
        return Kind("an upscaler", "ESRGAN tensors", "models/ESRGAN")
    return None


def _embedding(names: Names) -> Kind | None:
    if names.starts("string_to_param.") or names.shapes.keys() <= {"emb_params", "clip_l", "clip_g"}:
        return Kind("a textual inversion embedding", "token vectors", "embeddings")
    return None
