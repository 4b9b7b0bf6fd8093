"""The model object: LDM's own UNetModel, Encoder and Decoder in a LatentDiffusion of our own."""

import contextlib
import io
from collections import namedtuple
from pathlib import Path

import torch
import yaml
from ldm.modules.diffusionmodules import openaimodel
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from modules import _text
from torch import nn

TEXT = "cond_stage_model.transformer.text_model."
SCALE = 0.18215  # of SD1 latents: 1 / their standard deviation (latent-diffusion)
# SD1's layout (latent-diffusion's v1-inference.yaml): of a checkpoint without a yaml beside it
UNET = {"model_channels": 320, "channel_mult": (1, 2, 4, 4), "num_res_blocks": 2, "attention_resolutions": (4, 2, 1)}
UNET |= {"context_dim": 768, "num_heads": 8}
VAE = {"ch": 128, "ch_mult": (1, 2, 4, 4), "num_res_blocks": 2, "z_channels": 4}
DIFFUSION = {"linear_start": 0.00085, "linear_end": 0.0120, "parameterization": "eps"}
# Sizes of a model, as dicts and a tuple. Checkpoints of one layout are loaded into the same object.
Layout = namedtuple("Layout", "unet vae diffusion text")


def layout_of(tensors, config: Path) -> Layout:
    """From the yaml beside a checkpoint, where there is one, and the shapes in it."""
    said = yaml.safe_load(config.read_text("utf-8"))["model"]["params"] if config.is_file() else {}
    unet = UNET | _said(UNET, said.get("unet_config", {}).get("params", {}))
    unet["in_channels"] = tensors["model.diffusion_model.input_blocks.0.0.weight"].shape[1]
    vae = VAE | _said(VAE, said.get("first_stage_config", {}).get("params", {}).get("ddconfig", {}))
    return Layout(unet, vae, DIFFUSION | _said(DIFFUSION, said), _text_sizes(tensors, unet["context_dim"]))


def _said(known, said):
    return {name: tuple(said[name]) if isinstance(said[name], list) else said[name] for name in known if name in said}


def _text_sizes(tensors, context):
    """(vocabulary, width, layers, hidden, heads, positions); a small one where the checkpoint has no text encoder."""
    if (tokens := tensors.get(f"{TEXT}embeddings.token_embedding.weight")) is None:
        return 4096, context, 2, 2 * context, 4, 77
    layers = sum(key.startswith(f"{TEXT}encoder.layers.") and key.endswith("mlp.fc1.weight") for key in tensors)
    heads = tokens.shape[1] // 64 if tokens.shape[1] >= 256 else 4  # CLIP's are 64 wide; the miniature has four
    hidden = len(tensors[f"{TEXT}encoder.layers.0.mlp.fc1.weight"])
    return (*tokens.shape, layers, hidden, heads, len(tensors[f"{TEXT}embeddings.position_embedding.weight"]))


class _TorchThatFits:
    """`torch` for LDM's UNet: a skip connection of another size (latents that 8 does not divide) is met by resizing."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def cat(self, tensors, dim=0):
        size = tensors[-1].shape[2:]
        fits = [one if one.shape[2:] == size else nn.functional.interpolate(one, size) for one in tensors]
        return torch.cat(fits, dim=dim)


openaimodel.th = _TorchThatFits()


class Autoencoder(nn.Module):
    """Pictures [B, 3, H, W], -1..1, and latents [B, 4, H/8, W/8] that are not scaled."""

    def __init__(self, sizes):
        super().__init__()
        sizes = dict(sizes, in_channels=3, out_ch=3, attn_resolutions=[], resolution=256, dropout=0.0)
        with contextlib.redirect_stdout(io.StringIO()):  # LDM announces its sizes
            self.encoder = Encoder(double_z=True, **sizes)
            self.decoder = Decoder(**sizes)
        channels = sizes["z_channels"]
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    @property
    def dtype(self):
        return self.quant_conv.weight.dtype

    def encode(self, x):
        moments = self.encoder(x)
        return DiagonalGaussianDistribution(self.quant_conv(moments))

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
    is_sd1 = is_sd2 = is_sd3 = is_sdxl = is_ssd = lowvram = False
    scale_factor = SCALE

    def __init__(self, layout: Layout):
        super().__init__()
        of_sd1 = {"image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "transformer_depth": 1}
        with torch.random.fork_rng(devices=[]):  # what a checkpoint lacks is the same each time
            torch.manual_seed(0)
            unet = openaimodel.UNetModel(**of_sd1, use_checkpoint=False, legacy=False, **layout.unet)
            self.model = UNetWithConditions(unet)
            self.first_stage_model = Autoencoder(layout.vae)
            self.cond_stage_model = _text.TextEncoder(*layout.text)
        self.used_config, self.parameterization = layout, layout.diffusion["parameterization"]
        ends = layout.diffusion["linear_start"] ** 0.5, layout.diffusion["linear_end"] ** 0.5
        roots = torch.linspace(*ends, 1000, dtype=torch.float64)
        self.register_buffer("betas", (roots**2).float())
        self.register_buffer("alphas_cumprod", (1 - roots**2).cumprod(0).float())

    device = property(lambda self: self.alphas_cumprod.device)
    dtype = property(lambda self: self.alphas_cumprod.dtype)

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
