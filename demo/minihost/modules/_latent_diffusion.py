"""The model object: LDM's own UNetModel and VAE halves inside a small LatentDiffusion with the attributes that the WebUI's has."""
import contextlib
import dataclasses
import io
import math

import torch
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from modules import _clip, sd_unet
from torch import nn

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."
SCALE_FACTOR = 0.18215              # latent-diffusion v1: 1 / standard deviation of the VAE's latents


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes of a model, read from the shapes in its checkpoint; two checkpoints with equal layouts share one model object."""

    unet: tuple
    vae: tuple
    text: tuple
    parameterization: str = "eps"
    beta_start: float = 0.00085      # stable-diffusion v1 configuration: linear_start, linear_end
    beta_end: float = 0.0120


def _count(keys, prefix):
    return 1 + max((int(key[len(prefix):].split(".")[0]) for key in keys if key.startswith(prefix)), default=-1)


def _from_yaml(params, names):
    return tuple((name, tuple(params[name]) if isinstance(params[name], list) else params[name]) for name in names)


def _unet_arguments(sd, params):
    names = "model_channels", "channel_mult", "num_res_blocks", "attention_resolutions", "context_dim", "num_heads", "in_channels"
    if params is not None:
        return _from_yaml(params, names)
    blocks, width = _count(sd, UNET + "input_blocks."), sd[UNET + "input_blocks.0.0.weight"].shape[0]
    widths = [sd[f"{UNET}input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in range(blocks)
              if f"{UNET}input_blocks.{i}.0.out_layers.3.weight" in sd]
    downs = sum(f"{UNET}input_blocks.{i}.0.op.weight" in sd for i in range(blocks))
    per_level = len(widths) // (downs + 1)
    attended = [1 << level for level in range(downs + 1) if f"{UNET}input_blocks.{level * (per_level + 1) + 1}.1.norm.weight" in sd]
    context = next(value.shape[1] for key, value in sd.items() if key.startswith(UNET) and key.endswith("attn2.to_k.weight"))
    sizes = width, tuple(w // width for w in widths[::per_level]), per_level, tuple(attended), context, 8      # SD1: 8 heads everywhere
    return tuple(zip(names, (*sizes, sd[UNET + "input_blocks.0.0.weight"].shape[1])))


def _vae_arguments(sd, params):
    names = "ch", "ch_mult", "num_res_blocks", "z_channels"
    if params is not None:
        return _from_yaml(params, names)
    levels, width = _count(sd, VAE + "encoder.down."), sd[VAE + "encoder.conv_in.weight"].shape[0]
    mult = tuple(sd[f"{VAE}encoder.down.{i}.block.0.conv2.weight"].shape[0] // width for i in range(levels))
    return tuple(zip(names, (width, mult, _count(sd, VAE + "encoder.down.0.block."), sd[VAE + "post_quant_conv.weight"].shape[1])))


def _text_arguments(sd, context):
    names = "vocabulary", "width", "layers", "hidden", "heads", "positions"
    embedding = sd.get(TEXT + "embeddings.token_embedding.weight")
    if embedding is None:           # a checkpoint without text encoder gets a seeded one
        return tuple(zip(names, (4096, context, 2, 2 * context, 4, 77)))
    vocabulary, width = embedding.shape
    heads = width // 64 if width >= 256 else 4          # CLIP's heads are 64 wide; the miniature has four
    return tuple(zip(names, (vocabulary, width, _count(sd, TEXT + "encoder.layers."), sd[TEXT + "encoder.layers.0.mlp.fc1.weight"].shape[0],
                             heads, sd[TEXT + "embeddings.position_embedding.weight"].shape[0])))


def layout_of(sd, config=None):
    """The layout of a checkpoint. `config` is the `params` of the yaml beside it, which then says the sizes."""
    config = config or {}
    unet = _unet_arguments(sd, config.get("unet_config", {}).get("params"))
    vae = _vae_arguments(sd, config.get("first_stage_config", {}).get("params", {}).get("ddconfig"))
    return Layout(unet, vae, _text_arguments(sd, dict(unet)["context_dim"]), config.get("parameterization", "eps"),
                  config.get("linear_start", 0.00085), config.get("linear_end", 0.0120))


class AutoencoderKL(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] <-> latents [B, 4, H/8, W/8], not scaled."""

    def __init__(self, ch, ch_mult, num_res_blocks, z_channels):
        super().__init__()
        sizes = {"ch": ch, "ch_mult": ch_mult, "num_res_blocks": num_res_blocks, "z_channels": z_channels, "out_ch": 3, "in_channels": 3,
                 "attn_resolutions": [], "resolution": 256, "dropout": 0.0}
        with contextlib.redirect_stdout(io.StringIO()):                # LDM announces sizes
            self.encoder, self.decoder = Encoder(double_z=True, **sizes), Decoder(**sizes)
        self.quant_conv = nn.Conv2d(2 * z_channels, 2 * z_channels, 1)
        self.post_quant_conv = nn.Conv2d(z_channels, z_channels, 1)

    @property
    def dtype(self):
        return self.post_quant_conv.weight.dtype

    def encode(self, x):
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


class DiffusionWrapper(nn.Module):
    def __init__(self, diffusion_model, conditioning_key):
        super().__init__()
        self.diffusion_model, self.conditioning_key = diffusion_model, conditioning_key

    def forward(self, x, t, c_concat=None, c_crossattn=None, **kwargs):
        if self.conditioning_key == "hybrid":
            x = torch.cat([x, *c_concat], dim=1)
        return self.diffusion_model(x, t, context=torch.cat(c_crossattn, 1))


class LatentDiffusion(nn.Module):
    cond_stage_key = "txt"
    lowvram = False
    latent_channels = 4
    is_sd1 = is_sd2 = is_sdxl = is_ssd = is_sd3 = is_sdxl_inpaint = False

    def __init__(self, layout: Layout):
        super().__init__()
        torch_state = torch.get_rng_state()
        torch.manual_seed(0)                          # what the checkpoint lacks is the same each time
        sizes = dict(layout.unet)
        unet = UNetModel(image_size=32, out_channels=4, use_spatial_transformer=True, transformer_depth=1, use_checkpoint=False,
                         legacy=False, **sizes)
        self.model = DiffusionWrapper(unet, "hybrid" if sizes["in_channels"] == 9 else "crossattn")
        self.first_stage_model = AutoencoderKL(**dict(layout.vae))
        self.cond_stage_model = _clip.TextEncoder(**dict(layout.text))
        torch.set_rng_state(torch_state)
        self.used_config, self.parameterization, self.scale_factor = layout, layout.parameterization, SCALE_FACTOR
        betas = torch.linspace(math.sqrt(layout.beta_start), math.sqrt(layout.beta_end), 1000, dtype=torch.float64) ** 2
        self.register_buffer("betas", betas.float())
        self.register_buffer("alphas_cumprod", torch.cumprod(1 - betas, 0).float())

    @property
    def device(self):
        return self.betas.device

    @property
    def dtype(self):
        return self.betas.dtype

    def ema_scope(self, context=None):
        return contextlib.nullcontext()

    def apply_model(self, x_noisy, t, cond, return_ids=False):
        if not isinstance(cond, dict):
            cond = {"c_crossattn": cond if isinstance(cond, list) else [cond]}
        return self.model(x_noisy, t, **cond)

    def get_learned_conditioning(self, c):
        return self.cond_stage_model(c)

    def encode_first_stage(self, x):
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, encoder_posterior):
        is_latent = torch.is_tensor(encoder_posterior)                  # LDM takes either; sampling uses torch's global random numbers
        return self.scale_factor * (encoder_posterior if is_latent else encoder_posterior.sample())

    def decode_first_stage(self, z):
        return self.first_stage_model.decode(z / self.scale_factor)


UNetModel.forward = sd_unet.create_unet_forward(UNetModel.forward)
