"""A Stable Diffusion 1.x checkpoint small enough to train in a test: its file, its yaml, CLIP's tokenizer files, and
clips."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from lib_pia.training.ldm_checkpoint import SD15_UNET, SD15_VAE, VaeEncoder
from tests.unit.training_toys import TEXT, toy_unet

UNET = {**SD15_UNET, "model_channels": 32, "channel_mult": [1, 1, 1, 1], "context_dim": TEXT}
VAE = {**SD15_VAE, "ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 0}


def byte_characters() -> list[str]:
    """The characters that stand for the 256 bytes in CLIP's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def write_tokenizer(folder: Path) -> int:
    """vocab.json and merges.txt of a CLIP tokenizer that knows single characters and "ba"; the size of its
    vocabulary."""
    folder.mkdir()
    pieces = byte_characters()
    pieces += [piece + "</w>" for piece in pieces] + ["ba"] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\nb a\n")
    return len(pieces)


def small_text_encoder(vocabulary: int):
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return CLIPTextModel(config).eval()


def small_parts(vocabulary: int) -> dict[str, torch.nn.Module]:
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(1)
        return {
            "model.diffusion_model.": toy_unet(),
            "first_stage_model.": VaeEncoder(VAE).eval(),
            "cond_stage_model.transformer.text_model.": small_text_encoder(vocabulary),
        }


def write_checkpoint(folder: Path) -> dict[str, torch.nn.Module]:
    """folder/small.safetensors, small.yaml, clip/, and the parts that are in it."""
    folder.mkdir(exist_ok=True)
    parts = small_parts(write_tokenizer(folder / "clip"))
    tensors = {
        prefix + name.removeprefix("text_model."): value.contiguous()
        for prefix, part in parts.items()
        for name, value in part.state_dict().items()
    }
    save_file(tensors, folder / "small.safetensors")
    params = {
        "unet_config": {"params": UNET},
        "first_stage_config": {"params": {"ddconfig": VAE}},
        "cond_stage_config": {"params": {"num_attention_heads": 2}},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump({"model": {"params": params}}))
    return parts


def write_clips(folder: Path) -> None:
    """Two clips of 7 frames, 64x128."""
    folder.mkdir()
    for name, speed in (("slow", 2), ("fast", 8)):
        frames = []
        for i in range(7):
            pixels = np.full((128, 64, 3), (20, 60, 110), np.uint8)
            pixels[10 + i * speed : 30 + i * speed, 20:40] = 240
            frames.append(Image.fromarray(pixels))
        frames[0].save(folder / f"{name}.gif", save_all=True, append_images=frames[1:], duration=100)
        (folder / f"{name}.txt").write_text(f"a ball, {name}")
