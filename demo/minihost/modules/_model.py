"""The model object: LDM's own UNetModel, Encoder and Decoder, and CLIP's text encoder under the key names of SD
checkpoints, in a LatentDiffusion of our own. Prompts become chunks of 75 tokens, CLIP's byte pairs, of which nothing is
weighted; in an encoder with fewer tokens than CLIP several have one number."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import torch
import yaml
from ldm.modules.diffusionmodules import openaimodel
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from modules import devices
from modules.shared import opts
from torch import nn

from demo.miniature.net import base_alphas_cumprod
from demo.miniature.tokenizer import WORDS, Tokenizer

TEXT = "cond_stage_model.transformer.text_model."
ROOM = 75  # tokens of a chunk between start and end
# SD1's layout (latent-diffusion's v1-inference.yaml): of a checkpoint without a yaml beside it
UNET = {
    "image_size": 32, "out_channels": 4, "model_channels": 320, "channel_mult": (1, 2, 4, 4), "num_res_blocks": 2,
    "attention_resolutions": (4, 2, 1), "num_heads": 8, "use_spatial_transformer": True, "transformer_depth": 1,
    "context_dim": 768, "legacy": False,
}  # fmt: skip
VAE = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": (1, 2, 4, 4), "num_res_blocks": 2, "attn_resolutions": (), "dropout": 0.0,
}  # fmt: skip


def layout_of(tensors, config: Path):
    """Keywords of the UNet and of the VAE, sizes of the text encoder: from the yaml beside a checkpoint, where there is
    one, and the shapes in it. Checkpoints of one layout are loaded into the same object."""
    said = yaml.safe_load(config.read_text("utf-8"))["model"]["params"] if config.is_file() else {}
    unet = UNET | said.get("unet_config", {}).get("params", {}) | {"use_checkpoint": False}
    unet["in_channels"] = tensors["model.diffusion_model.input_blocks.0.0.weight"].shape[1]
    vae = VAE | said.get("first_stage_config", {}).get("params", {}).get("ddconfig", {})
    return unet, vae, _text_sizes(tensors, unet["context_dim"])


def _text_sizes(tensors, context):
    """(vocabulary, width, layers, hidden, heads, positions); a small one where the checkpoint has no text encoder."""
    if (tokens := tensors.get(f"{TEXT}embeddings.token_embedding.weight")) is None:
        return 4096, context, 2, 2 * context, 4, 77
    layers = sum(key.startswith(f"{TEXT}encoder.layers.") and key.endswith("mlp.fc1.weight") for key in tensors)
    heads = tokens.shape[1] // 64 if tokens.shape[1] >= 256 else 4  # CLIP's are 64 wide; the miniature has four
    hidden = len(tensors[f"{TEXT}encoder.layers.0.mlp.fc1.weight"])
    return (*tokens.shape, layers, hidden, heads, len(tensors[f"{TEXT}embeddings.position_embedding.weight"]))


def _cat_what_fits(tensors, dim=0):
    """For LDM's UNet: a skip connection of another size (latents that 8 does not divide) is met by resizing."""
    size = tensors[-1].shape[2:]
    fits = [one if one.shape[2:] == size else nn.functional.interpolate(one, size) for one in tensors]
    return torch.cat(fits, dim=dim)


openaimodel.th = SimpleNamespace(**{**vars(torch), "cat": _cat_what_fits})


class Layer(nn.Module):
    """One layer of CLIP's text encoder."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.self_attn, self.mlp = heads, nn.Module(), nn.Module()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self.self_attn, name, nn.Linear(width, width))
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):  # [B, T, C]
        own, inner = self.self_attn, self.layer_norm1(x)
        projected = own.q_proj(inner), own.k_proj(inner), own.v_proj(inner)
        q, k, v = (one.unflatten(2, (self.heads, -1)).transpose(1, 2) for one in projected)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + own.out_proj(mixed.transpose(1, 2).flatten(2))
        inner = self.mlp.fc1(self.layer_norm2(x))
        return x + self.mlp.fc2(inner * torch.sigmoid(1.702 * inner))  # quick GELU, as OpenAI's CLIP has it


class TextEncoder(nn.Module):
    """`forward(prompts)` gives [prompts, 77 * chunks, width]."""

    def __init__(self, vocabulary, width, layers, hidden, heads, positions):
        super().__init__()
        self.transformer, text = nn.Module(), nn.Module()
        self.transformer.text_model, text.embeddings, text.encoder = text, nn.Module(), nn.Module()
        text.embeddings.token_embedding = nn.Embedding(vocabulary, width)
        text.embeddings.position_embedding = nn.Embedding(positions, width)
        text.encoder.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        text.final_layer_norm = nn.LayerNorm(width)
        self.id_start, self.id_end, self.clip = vocabulary - 2, vocabulary - 1, Tokenizer()

    def tokenize(self, texts):
        """The numbers of each text's tokens."""
        words = [WORDS.findall(" ".join(text.lower().split())) for text in texts]
        return [[number % self.id_start for word in found for number in self.clip.word(word)] for found in words]

    def tokenize_line(self, line):
        """([chunks with their 77 `tokens`], number of tokens)."""
        (numbers,) = self.tokenize([line])
        parts = [numbers[start : start + ROOM] for start in range(0, len(numbers) or 1, ROOM)]
        rows = [[self.id_start, *part, *[self.id_end] * (ROOM + 1 - len(part))] for part in parts]
        return [SimpleNamespace(tokens=row) for row in rows], len(rows) * ROOM

    def forward(self, prompts):
        split, empty = [self.tokenize_line(prompt)[0] for prompt in prompts], self.tokenize_line("")[0]
        longest = max(map(len, split))
        filled = [chunks + empty * (longest - len(chunks)) for chunks in split]
        return torch.cat([self._encoded(together) for together in zip(*filled)], dim=1)

    def _encoded(self, chunks):
        text = self.transformer.text_model
        numbers = torch.tensor([chunk.tokens for chunk in chunks], device=devices.device)
        z = text.embeddings.token_embedding(numbers) + text.embeddings.position_embedding.weight[: numbers.shape[1]]
        used = len(text.encoder.layers) + 1 - min(int(opts.CLIP_stop_at_last_layers), len(text.encoder.layers))
        for layer in text.encoder.layers[:used]:
            z = layer(z)
        return text.final_layer_norm(z)


class Autoencoder(nn.Module):
    """Pictures [B, 3, H, W], -1..1, and latents [B, 4, H/8, W/8] that are not scaled."""

    def __init__(self, sizes):
        super().__init__()
        with contextlib.redirect_stdout(io.StringIO()):  # LDM announces its sizes
            self.encoder, self.decoder = Encoder(**sizes), Decoder(**sizes)
        self.quant_conv = nn.Conv2d(2 * sizes["z_channels"], 2 * sizes["z_channels"], 1)
        self.post_quant_conv = nn.Conv2d(sizes["z_channels"], sizes["z_channels"], 1)

    def encode(self, x):
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


class UNetWithConditions(nn.Module):
    """`model.model`: hands text to the UNet, and to inpainting checkpoints ("hybrid") mask and picture as channels."""

    def __init__(self, diffusion_model):
        super().__init__()
        self.diffusion_model = diffusion_model
        self.conditioning_key = "hybrid" if diffusion_model.in_channels == 9 else "crossattn"

    def forward(self, x, t, c_crossattn, c_concat=()):
        more = c_concat if self.conditioning_key == "hybrid" else ()
        return self.diffusion_model(torch.cat([x, *more], dim=1), t, context=torch.cat(list(c_crossattn), dim=1))


class LatentDiffusion(nn.Module):
    cond_stage_key = "txt"
    scale_factor = 0.18215  # of SD1 latents: 1 / their standard deviation (latent-diffusion)

    def __init__(self, layout):
        super().__init__()
        unet, vae, text = self.used_config = layout
        with torch.random.fork_rng(devices=[]):  # what a checkpoint lacks is the same each time
            torch.manual_seed(0)
            self.model = UNetWithConditions(openaimodel.UNetModel(**unet))
            self.first_stage_model, self.cond_stage_model = Autoencoder(vae), TextEncoder(*text)
        self.register_buffer("alphas_cumprod", base_alphas_cumprod().float())

    def apply_model(self, x_noisy, t, cond):
        return self.model(x_noisy, t, **cond)

    def get_learned_conditioning(self, c):
        return self.cond_stage_model(c)

    def encode_first_stage(self, x):
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, encoder_posterior):
        """The scaled latent of a tensor, or of a distribution, which is sampled from torch's global state."""
        latent = encoder_posterior if isinstance(encoder_posterior, torch.Tensor) else encoder_posterior.sample()
        return self.scale_factor * latent

    def decode_first_stage(self, z):
        return self.first_stage_model.decode(z / self.scale_factor)

    def tile(self, wanted: bool):
        """Pictures that continue over their edges, or not."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "circular" if wanted else "zeros"
