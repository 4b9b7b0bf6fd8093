"""The miniature's KL VAE, in LDM's layout: 4 latent channels, factor 8, scale factor 0.18215.

LDM's VAE normalises with 32 groups. At 64 channels a group has two channels, and a flat area (a constant in both) comes
out of the normalisation as (+1, -1) whatever its colour: absolute colour is lost. So the VAE trains with a large
epsilon in its norms, which makes them nearly linear (they take the group's mean away, and little else). `fold_epsilon`
then scales the layers that feed the norms down until LDM's own epsilon, 1e-6, has the same effect: the same function,
in LDM's layout.
"""

import contextlib
import io

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .scenes import random_clip_plan, to_bytes
from .shapes import STYLES, render
from .training_log import Run, trapezoid

PICTURES = 9000
WHITENED = 512  # pictures whose latents are measured for whitening
SCALE_FACTOR = 0.18215  # Stable Diffusion 1.x
LDM_EPSILON = 1e-6
TRAINING_EPSILON = 16.0
DDCONFIG = {
    "double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 64,
    "ch_mult": [1, 1, 1, 2], "num_res_blocks": 0, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


def multiplies_bfloat16() -> bool:
    """Whether the processor does it in hardware: then it is 4 to 5 times as fast as float32, else a fifth as fast."""
    return any(getattr(torch.cpu, f"_is_{kind}_supported", lambda: False)() for kind in ("amx_tile", "avx512_bf16"))


def autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it, else float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16())


class AutoencoderKL(nn.Module):
    """LDM's AutoencoderKL without its trainer: the same keys (`encoder.`, `decoder.`, `quant_conv.`,
    `post_quant_conv.`)."""

    def __init__(self):
        super().__init__()
        from ldm.modules.diffusionmodules.model import Decoder, Encoder

        with contextlib.redirect_stdout(io.StringIO()):  # the Decoder announces its size
            self.encoder, self.decoder = Encoder(**DDCONFIG), Decoder(**DDCONFIG)
        self.quant_conv = nn.Conv2d(8, 8, 1)
        self.post_quant_conv = nn.Conv2d(4, 4, 1)

    def moments(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance [N, 4, H/8, W/8] of the posterior of pictures [N, 3, H, W] in [-1, 1], not scaled."""
        mean, log_variance = self.quant_conv(self.encoder(pictures)).float().chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """The posterior's mean times the scale factor: what the UNet works on."""
        return self.moments(pictures)[0] * SCALE_FACTOR

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, H, W], about [-1, 1], of scaled latents."""
        return self.decoder(self.post_quant_conv(latents / SCALE_FACTOR))


class NearlyLinearNorm(nn.GroupNorm):
    """GroupNorm whose backward pass takes the variance for a constant: about true when epsilon dominates, and 8 times
    as fast on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = (x.shape[0], self.num_channels, x.shape[2] * x.shape[3], self.num_groups)
        with torch.no_grad():
            inverse_std = torch.native_group_norm(x, None, None, *size, self.eps)[2].float()
        mean = x.mean((2, 3)).unflatten(1, (self.num_groups, -1)).mean(2)
        per_channel = self.num_channels // self.num_groups
        gain = self.weight * inverse_std.repeat_interleave(per_channel, 1)
        shift = self.bias - mean.repeat_interleave(per_channel, 1) * gain
        return torch.addcmul(shift[:, :, None, None].to(x.dtype), x, gain[:, :, None, None].to(x.dtype))


def widen_epsilon(vae: nn.Module, epsilon: float = TRAINING_EPSILON) -> None:
    """Start the norms as nearly linear (a large epsilon, and a weight to match) and the layers as keeping their input's
    size."""
    for name, layer in vae.named_modules():
        if isinstance(layer, nn.GroupNorm):
            layer.__class__ = NearlyLinearNorm
            layer.eps = epsilon
            nn.init.constant_(layer.weight, epsilon**0.5)
        elif isinstance(layer, nn.Conv2d):
            gain = {"conv1": 1.6, "conv2": 0.3, "proj_out": 0.1}.get(name.rsplit(".", 1)[-1], 1.0)
            nn.init.normal_(layer.weight, 0, gain / layer.weight[0].numel() ** 0.5)
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def fold_epsilon(vae: nn.Module) -> None:
    """Turn a VAE trained with TRAINING_EPSILON into the same function with LDM's epsilon, in place."""
    scale = (LDM_EPSILON / TRAINING_EPSILON) ** 0.5
    for name, layer in vae.named_modules():
        last = name.rsplit(".", 1)[-1]
        if name.endswith(
            ("downsample.conv", "upsample.conv")
        ):  # reads and writes the scaled stream: only its bias is absolute
            layer.bias.mul_(scale)
        elif last in ("conv_in", "conv1", "conv2", "proj_out"):
            layer.weight.mul_(scale)
            layer.bias.mul_(scale)
        elif last == "nin_shortcut":
            layer.bias.mul_(scale)
        elif isinstance(layer, nn.GroupNorm):
            layer.__class__ = nn.GroupNorm
            layer.eps = LDM_EPSILON


@torch.no_grad()
def whiten(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Scale and shift the latents of `pictures` so that, times the scale factor, each channel has mean 0 and variance
    1, in place."""
    means = torch.cat([vae.moments(batch)[0] for batch in pictures.split(32)])
    shift, spread = means.mean((0, 2, 3)), means.std((0, 2, 3)) * SCALE_FACTOR
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.bias[:4] -= shift
    quant.weight[:4] /= spread[:, None, None, None]
    quant.bias[:4] /= spread
    quant.bias[4:] -= 2 * spread.log()  # the log variance
    post.bias += (post.weight[:, :, 0, 0] * shift).sum(1)
    post.weight.mul_(spread[None, :, None, None])


def training_pictures(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Frames of all styles, one third with colours off the palette, [count, 3, H, W] uint8."""
    pictures = np.empty((count, 64, 64, 3), np.uint8)
    for i in range(count):
        scene, _, offsets = random_clip_plan(rng, STYLES[i % len(STYLES)], two=0.25)
        picture = render(scene.moved(offsets[rng.integers(len(offsets))]))
        if rng.random() < 0.35:
            picture = picture[..., rng.permutation(3)] * rng.uniform(0.6, 1.0, 3)
        pictures[i] = to_bytes(picture)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def to_signed(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float -1..1."""
    return pictures.float() / 127.5 - 1


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], one mean over all of them."""
    return float(10 * torch.log10(4 / F.mse_loss(a.clamp(-1, 1), b.clamp(-1, 1))))


def loss_of(vae: AutoencoderKL, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    mean, log_variance = vae.moments(pictures)
    sample = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    out = vae.decoder(vae.post_quant_conv(sample)).float()
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    mse, l1 = F.mse_loss(out, pictures), F.l1_loss(out, pictures)
    return {"loss": 10 * mse + l1 + 1e-3 * kl, "mse": mse, "l1": l1, "kl": kl}


def train(run: Run, steps: int, encoder_steps: int, batch: int = 8, rate: float = 7e-4) -> AutoencoderKL:
    """Train from nothing, or go on from the run's last checkpoint; the result still has the training epsilon.

    The encoder stops after `encoder_steps`, so that its latents are fixed from there on and the UNet can train while
    the decoder goes on.
    """
    torch.manual_seed(0)
    vae = AutoencoderKL().to(memory_format=torch.channels_last)
    widen_epsilon(vae)
    optimizer = torch.optim.Adam(vae.parameters(), rate, betas=(0.9, 0.99))
    pool = training_pictures(np.random.default_rng(1), PICTURES)
    held_out = to_signed(training_pictures(np.random.default_rng(2), 64))
    for step in run.steps(steps, vae=vae, optimizer=optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate * trapezoid(step, steps, warmup=100)
        if step == encoder_steps:
            torch.save(vae.state_dict(), run.folder / "encoder.pt")
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(step < encoder_steps)
        pictures = to_signed(pool[torch.randint(len(pool), (batch,))]).to(memory_format=torch.channels_last)
        with autocast():
            losses = loss_of(vae, pictures)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        noted = {name: value.item() for name, value in losses.items()}
        if (step + 1) % 250 == 0:
            with torch.no_grad(), autocast():
                noted["psnr"] = psnr(vae.decode(vae.encode(held_out)).float(), held_out)
        run.log(step, **noted)
    return vae
