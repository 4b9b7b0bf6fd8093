"""Small seeded models for the tests: an SD1.5-layout UNet (width 32), a VAE and a PIA model with random weights.

Every tensor is numpy PCG64 noise keyed by (seed, group, tensor name), so the values do not depend on the torch version.
The parity goldens (tests/parity) were computed by the paper's own code on exactly these weights (seed 20231213).

    python -m tests.tiny_models OUT_DIR      # writes tiny_sd15_unet_vae.safetensors (LDM keys), tiny_pia.ckpt (official
    keys),
                                             # tiny_pia_fp16.safetensors, tiny_pia_diffusers.safetensors (MotionAdapter
                                             keys)
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
import torch

SEED = 20231213
SHAPES = Path(__file__).with_name("shapes.json")  # {group: {tensor name in diffusers/official layout: shape}}


def noise(group: str, name: str, shape: tuple[int, ...], seed: int = SEED) -> torch.Tensor:
    rng = np.random.default_rng([seed, zlib.crc32(group.encode()), zlib.crc32(name.encode())])
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def gain(name: str) -> float:
    """Standard deviation relative to 1/sqrt(fan in)."""
    motion = "motion_modules" in name
    if name.endswith(("to_q.weight", "to_k.weight")):
        return 1.8 if (motion or "attn2" in name) else 1.4
    if motion and ".temporal_transformer.proj_out" in name:
        return 0.6
    if motion and name.endswith(("attn1.to_out.0.weight", "attn2.to_out.0.weight", "ff.net.2.weight")):
        return 1.0
    if ".proj_out." in name:
        return 0.6
    if name.endswith("time_emb_proj.weight"):
        return 4.0
    if name.endswith(("conv2.weight", "to_out.0.weight", "ff.net.2.weight")):
        return 0.7
    return 1.0


def position_encoding(max_len: int, dim: int) -> torch.Tensor:
    position = torch.arange(max_len).unsqueeze(1)
    div = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    pe = torch.zeros(1, max_len, dim)
    pe[0, :, 0::2] = torch.sin(position * div)
    pe[0, :, 1::2] = torch.cos(position * div)
    return pe


def weights(group: str, seed: int = SEED) -> dict[str, torch.Tensor]:
    """All tensors of `group` ("unet", "vae" or "motion"), under diffusers names ("motion": under the official PIA
    names)."""
    out = {}
    for name, shape in json.loads(SHAPES.read_text())[group].items():
        shape = tuple(shape)
        if name.endswith(".pe"):
            out[name] = position_encoding(shape[1], shape[2])
            continue
        value = noise(group, name, shape, seed)
        is_norm = len(shape) == 1 and "norm" in name
        if is_norm and name.endswith("weight"):
            out[name] = 1.0 + 0.1 * value
        elif len(shape) == 1:
            out[name] = (0.1 if is_norm else 0.05) * value
        else:
            out[name] = value * (gain(name) / math.sqrt(math.prod(shape[1:])))
    if group == "motion":
        out["conv_in.weight"][:, 4] *= 5.0  # the affinity channel must matter as much as the latent
    if group == "vae":  # a posterior as narrow as a real VAE's
        out["quant_conv.weight"][4:] *= 0.01
        out["quant_conv.bias"][4:] = -18.0
        out["quant_conv.weight"][:4] *= 5.0
    return out


def unet_to_ldm(sd: dict[str, torch.Tensor], layers: int = 2, blocks: int = 4) -> dict[str, torch.Tensor]:
    m = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    for b in range(blocks):
        for j in range(layers):
            i = 1 + b * (layers + 1) + j
            m[f"down_blocks.{b}.resnets.{j}"] = f"input_blocks.{i}.0"
            m[f"down_blocks.{b}.attentions.{j}"] = f"input_blocks.{i}.1"
        m[f"down_blocks.{b}.downsamplers.0.conv"] = f"input_blocks.{(b + 1) * (layers + 1)}.0.op"
        for j in range(layers + 1):
            i = b * (layers + 1) + j
            m[f"up_blocks.{b}.resnets.{j}"] = f"output_blocks.{i}.0"
            m[f"up_blocks.{b}.attentions.{j}"] = f"output_blocks.{i}.1"
        m[f"up_blocks.{b}.upsamplers.0.conv"] = f"output_blocks.{b * (layers + 1) + layers}.{1 if b == 0 else 2}.conv"
    res = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    }
    prefixes = sorted(m, key=len, reverse=True)
    out = {}
    for name, value in sd.items():
        prefix = next(p for p in prefixes if name.startswith(p + "."))
        tail = name[len(prefix) + 1 :]
        if ".resnets." in "." + prefix:
            head, rest = tail.split(".", 1)
            tail = f"{res[head]}.{rest}"
        out[f"model.diffusion_model.{m[prefix]}.{tail}"] = value
    return out


def vae_to_ldm(sd: dict[str, torch.Tensor], layers: int = 1, blocks: int = 4) -> dict[str, torch.Tensor]:
    out = {}
    for name, value in sd.items():
        n = name
        for side in ("encoder", "decoder"):
            for a, b in (
                ("mid_block.resnets.0", "mid.block_1"),
                ("mid_block.resnets.1", "mid.block_2"),
                ("mid_block.attentions.0", "mid.attn_1"),
                ("conv_norm_out", "norm_out"),
            ):
                n = n.replace(f"{side}.{a}.", f"{side}.{b}.")
        for b in range(blocks):
            for j in range(layers + 1):
                n = n.replace(f"encoder.down_blocks.{b}.resnets.{j}.", f"encoder.down.{b}.block.{j}.")
                n = n.replace(f"decoder.up_blocks.{b}.resnets.{j}.", f"decoder.up.{blocks - 1 - b}.block.{j}.")
            n = n.replace(f"encoder.down_blocks.{b}.downsamplers.0.conv.", f"encoder.down.{b}.downsample.conv.")
            n = n.replace(f"decoder.up_blocks.{b}.upsamplers.0.conv.", f"decoder.up.{blocks - 1 - b}.upsample.conv.")
        n = n.replace(".conv_shortcut.", ".nin_shortcut.")
        if ".attn_1." in n:
            for a, b in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
                n = n.replace(f".{a}.", f".{b}.")
            if value.ndim == 2:
                value = value[:, :, None, None].contiguous()
        out[f"first_stage_model.{n}"] = value
    return out


def official_to_diffusers(name: str) -> str:
    for a, b in (
        (".norms.0", ".norm1"),
        (".norms.1", ".norm2"),
        (".ff_norm", ".norm3"),
        (".attention_blocks.0.pos_encoder", ".pos_embed"),
        (".attention_blocks.1.pos_encoder", ".pos_embed"),
        (".attention_blocks.0", ".attn1"),
        (".attention_blocks.1", ".attn2"),
        (".temporal_transformer", ""),
    ):
        name = name.replace(a, b)
    return name


def ldm_checkpoint(seed: int = SEED) -> dict[str, torch.Tensor]:
    """UNet and VAE under LDM keys (`model.diffusion_model.`, `first_stage_model.`)."""
    return {**unet_to_ldm(weights("unet", seed)), **vae_to_ldm(weights("vae", seed))}


def layout(width: int = 32, context_dim: int = 128) -> str:
    """The yaml that belongs beside `ldm_checkpoint()`: in what it differs from SD1.5's."""
    return (
        f"model: {{params: {{unet_config: {{params: {{model_channels: {width}, context_dim: {context_dim}}}}}, "
        "first_stage_config: {params: {ddconfig: {ch: 32, ch_mult: [1, 2, 2, 2], num_res_blocks: 1}}}}}\n"
    )


def official_pia(seed: int = SEED) -> dict[str, torch.Tensor]:
    """A PIA file's tensors under official keys. Its `conv_in.weight[:, :4]` and `conv_in.bias` differ from the UNet's
    on purpose."""
    return weights("motion", seed)


def diffusers_pia(seed: int = SEED) -> dict[str, torch.Tensor]:
    """The same tensors as a diffusers MotionAdapter with conv_in names them."""
    return {official_to_diffusers(k): v for k, v in official_pia(seed).items()}


def build_unet(
    width: int = 32, channel_mult: tuple = (1, 2, 4, 4), heads: int = 8, context_dim: int = 128, in_channels: int = 4
):
    """The genuine LDM UNetModel in SD1.5's layout, untrained, in eval mode."""
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

    unet = UNetModel(
        image_size=32,
        in_channels=in_channels,
        out_channels=4,
        model_channels=width,
        attention_resolutions=[4, 2, 1],
        num_res_blocks=2,
        channel_mult=list(channel_mult),
        num_heads=heads,
        use_spatial_transformer=True,
        transformer_depth=1,
        context_dim=context_dim,
        use_checkpoint=False,
        legacy=False,
    )
    return unet.eval().requires_grad_(False)


def tiny_unet(seed: int = SEED):
    """`build_unet()` with this file's weights."""
    unet = build_unet()
    prefix = "model.diffusion_model."
    unet.load_state_dict({k[len(prefix) :]: v for k, v in unet_to_ldm(weights("unet", seed)).items()})
    return unet


def main(out_dir: Path) -> None:
    from safetensors.torch import save_file

    out_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = ldm_checkpoint()
    motion = official_pia()
    save_file({k: v.contiguous() for k, v in checkpoint.items()}, out_dir / "tiny_sd15_unet_vae.safetensors")
    torch.save(motion, out_dir / "tiny_pia.ckpt")
    save_file({k: v.half().contiguous() for k, v in motion.items()}, out_dir / "tiny_pia_fp16.safetensors")
    save_file(
        {official_to_diffusers(k): v.contiguous() for k, v in motion.items()},
        out_dir / "tiny_pia_diffusers.safetensors",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
