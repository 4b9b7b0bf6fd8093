"""The model object: LDM's own UNetModel, Encoder and Decoder in a LatentDiffusion of our own, sized by the checkpoint."""
import contextlib
import io
from collections import namedtuple

import torch
from ldm.modules.diffusionmodules import openaimodel
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from modules import _text
from torch import nn

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."
SCALE = 0.18215                         # of SD1 latents: 1 / their standard deviation (latent-diffusion)
BETAS = (0.00085, 0.0120)               # linear_start and linear_end of SD1
OF_UNET = ["model_channels", "channel_mult", "num_res_blocks", "attention_resolutions", "context_dim", "num_heads", "in_channels"]
OF_VAE = ["ch", "ch_mult", "num_res_blocks", "z_channels"]
# Sizes of a model. Checkpoints of one layout are loaded into the same object.
Layout = namedtuple("Layout", "unet vae text betas parameterization", defaults=(BETAS, "eps"))


def layout_of(tensors, config=None) -> Layout:
    """From the shapes in a checkpoint, or (UNet and VAE) from the `params` of the yaml beside it."""
    if config is None:
        unet = _unet_sizes(tensors)
        return Layout(unet, _vae_sizes(tensors), _text_sizes(tensors, unet[4]))
    unet, vae = config["unet_config"]["params"], config["first_stage_config"]["params"]["ddconfig"]
    unet, vae = ([tuple(part[name]) if isinstance(part[name], list) else part[name] for name in names]
                 for part, names in ((unet, OF_UNET), (vae, OF_VAE)))
    betas = config.get("linear_start", BETAS[0]), config.get("linear_end", BETAS[1])
    return Layout(tuple(unet), tuple(vae), _text_sizes(tensors, unet[4]), betas, config.get("parameterization", "eps"))


def _numbers(tensors, prefix) -> range:
    """0, 1, ... as far as there are keys PREFIX0., PREFIX1., ..."""
    found = {int(key[len(prefix):].split(".", 1)[0]) for key in tensors if key.startswith(prefix)}
    return range(len(found))


def _unet_sizes(tensors):
    blocks = _numbers(tensors, f"{UNET}input_blocks.")
    outs = {i: tensors.get(f"{UNET}input_blocks.{i}.0.out_layers.3.weight") for i in blocks}
    widths = [len(weight) for weight in outs.values() if weight is not None]
    levels = 1 + sum(f"{UNET}input_blocks.{i}.0.op.weight" in tensors for i in blocks)
    first, per_level = tensors[f"{UNET}input_blocks.0.0.weight"], len(widths) // levels
    attended = tuple(2 ** level for level in range(levels)
                     if f"{UNET}input_blocks.{1 + level * (per_level + 1)}.1.norm.weight" in tensors)
    context = next(weight.shape[1] for key, weight in tensors.items() if key.startswith(UNET) and key.endswith("attn2.to_k.weight"))
    return (len(first), tuple(width // len(first) for width in widths[::per_level]), per_level, attended, context,
            8, first.shape[1])                                              # SD1 has 8 heads everywhere


def _vae_sizes(tensors):
    width = len(tensors[f"{VAE}encoder.conv_in.weight"])
    mult = tuple(len(tensors[f"{VAE}encoder.down.{level}.block.0.conv2.weight"]) // width
                 for level in _numbers(tensors, f"{VAE}encoder.down."))
    blocks = _numbers(tensors, f"{VAE}encoder.down.0.block.")
    return width, mult, len(blocks), tensors[f"{VAE}post_quant_conv.weight"].shape[1]


def _text_sizes(tensors, context):
    """(vocabulary, width, layers, hidden, heads, positions); a small one where the checkpoint has no text encoder."""
    if (tokens := tensors.get(f"{TEXT}embeddings.token_embedding.weight")) is None:
        return 4096, context, 2, 2 * context, 4, 77
    layers = _numbers(tensors, f"{TEXT}encoder.layers.")
    return (*tokens.shape, len(layers), len(tensors[f"{TEXT}encoder.layers.0.mlp.fc1.weight"]),
            tokens.shape[1] // 64 if tokens.shape[1] >= 256 else 4,         # CLIP's heads are 64 wide; the miniature has four
            len(tensors[f"{TEXT}embeddings.position_embedding.weight"]))


class _TorchThatFits:
    """`torch` for LDM's UNet: a skip connection of another size (latents that 8 does not divide) is met by resizing."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def cat(self, tensors, dim=0):
        return torch.cat(list(_as_large_as_the_last(tensors)), dim=dim)


def _as_large_as_the_last(tensors):
    size = tensors[-1].shape[2:]
    for one in tensors:
        yield one if one.shape[2:] == size else nn.functional.interpolate(one, size, mode="nearest")


openaimodel.th = _TorchThatFits()


class Autoencoder(nn.Module):
    """Pictures [B, 3, H, W], -1..1, and latents [B, 4, H/8, W/8] that are not scaled."""

    def __init__(self, ch, ch_mult, num_res_blocks, z_channels):
        super().__init__()
        sizes = dict(ch=ch, ch_mult=ch_mult, num_res_blocks=num_res_blocks, z_channels=z_channels, in_channels=3, out_ch=3,
                     attn_resolutions=[], resolution=256, dropout=0.0)
        with contextlib.redirect_stdout(io.StringIO()):                     # LDM announces its sizes
            self.encoder = Encoder(double_z=True, **sizes)
            self.decoder = Decoder(**sizes)
        self.quant_conv, self.post_quant_conv = (nn.Conv2d(n * z_channels, n * z_channels, 1) for n in (2, 1))

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

    def __init__(self, layout: Layout):
        super().__init__()
        with torch.random.fork_rng(devices=[]):         # what a checkpoint lacks is the same each time
            torch.manual_seed(0)
            self.model = UNetWithConditions(UNetModel(
                image_size=32, out_channels=4, use_spatial_transformer=True, transformer_depth=1, use_checkpoint=False,
                legacy=False, **dict(zip(OF_UNET, layout.unet))))
            self.first_stage_model = Autoencoder(*layout.vae)
            self.cond_stage_model = _text.TextEncoder(*layout.text)
        self.used_config, self.parameterization, self.scale_factor = layout, layout.parameterization, SCALE
        roots = torch.linspace(layout.betas[0] ** 0.5, layout.betas[1] ** 0.5, 1000, dtype=torch.float64)
        self.register_buffer("betas", (roots ** 2).float())
        self.register_buffer("alphas_cumprod", (1 - roots ** 2).cumprod(0).float())

    @property
    def device(self):
        return self.alphas_cumprod.device

    @property
    def dtype(self):
        return self.alphas_cumprod.dtype

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
