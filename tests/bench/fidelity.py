"""`python dev.py bench fidelity`: how far implementations of PIA are from the paper's own code, on the same small
random weights, noise, text and picture (tests/parity/goldens.safetensors: outputs of open-mmlab/PIA 73f06d7).

Relative L2 error of one UNet call and of the final latents of Euler, 25 steps, CFG 7.5, 16 frames. `this extension`
and `diffusers` are run here (diffusers' UNetMotionModel, the network of its PIAPipeline, given the linear schedule
too); the other rows are the paper's code with one thing changed, as it was run for the goldens.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_pia.checkpoint import load_pia_model
from lib_pia.condition import build_condition
from lib_pia.injection import inject
from lib_pia.model import PIAModel
from lib_pia.schedule import linear_alphas_cumprod
from tests import tiny_models
from tests.parity.sampling import guided, relative_error, webui_euler

GOLDENS = Path(__file__).parents[1] / "parity" / "goldens.safetensors"
WIDTHS, CONTEXT, HEADS, FRAMES, TIME = (32, 64, 128, 128), 128, 8, 16, 501
CHANGED = {
    "diffusersGN": "GroupNorm as in diffusers",
    "allcrossGN": "every GroupNorm over all frames",
    "perframeGN": "every GroupNorm per frame",
    "scaledlinear": "the checkpoint's own noise schedule",
}


def diffusers_network() -> torch.nn.Module:
    """diffusers' network with the tiny weights: conv_in as `from_unet2d` joins it, motion modules of the PIA file."""
    from diffusers import UNetMotionModel

    net = UNetMotionModel(
        sample_size=8,
        in_channels=9,
        block_out_channels=WIDTHS,
        cross_attention_dim=CONTEXT,
        num_attention_heads=HEADS,
        motion_num_attention_heads=HEADS,
        use_motion_mid_block=False,
    ).eval()
    unet, motion = tiny_models.weights("unet"), tiny_models.diffusers_pia()
    weights = {**unet, **{name: value for name, value in motion.items() if not name.startswith("conv_in.")}}
    weights["conv_in.weight"] = torch.cat([unet["conv_in.weight"], motion["conv_in.weight"][:, 4:]], dim=1)
    missing, unexpected = net.load_state_dict(weights, strict=False)
    if unexpected or any("pos_embed" not in name for name in missing):
        raise RuntimeError(f"diffusers' layout has changed: missing {missing[:3]}, unexpected {unexpected[:3]}")
    return net


def as_ldm(net: torch.nn.Module, condition: Tensor):
    """diffusers' network called as LDM's UNet is: rows [B*F, 4, h, w], frame fastest."""

    def call(x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        groups = len(x) // FRAMES
        rows = torch.cat([x, condition[:, :1].repeat(groups, 1, 1, 1), condition[:, 1:].repeat(groups, 1, 1, 1)], dim=1)
        clips = rows.unflatten(0, (groups, FRAMES)).transpose(1, 2)
        out = net(clips, t[0], encoder_hidden_states=context).sample
        return out.transpose(1, 2).flatten(0, 1)

    return call


def errors(unet, golden: dict[str, Tensor], noise: Tensor) -> tuple[float, float]:
    """Of one call and of the final latents."""
    text = golden["text"].repeat_interleave(FRAMES, 0)
    out = unet(noise.repeat(2, 1, 1, 1), torch.full((2 * FRAMES,), TIME), context=text)
    theirs = golden[f"fwd/64x64_t{TIME}_m1_official"]
    ours = out.unflatten(0, (2, FRAMES)).transpose(1, 2)
    latents = webui_euler(guided(unet, golden["text"], FRAMES, 7.5), noise, linear_alphas_cumprod())
    return float((ours - theirs).norm() / theirs.norm()), relative_error(latents, golden["a1111_euler25/64x64_m1"])


def pia_model() -> PIAModel:
    """The tiny PIA model, read from a file as a user's is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pia.safetensors"
        save_file({name: value.contiguous() for name, value in tiny_models.official_pia().items()}, path)
        return load_pia_model(path)


@torch.no_grad()
def main() -> None:
    golden = load_file(GOLDENS)
    noise = golden["noise_64x64"][0].transpose(0, 1)
    condition = build_condition(golden["cond_latent_64x64"], golden["mask_coef/F16_c0_m1"].flatten())
    unet = tiny_models.tiny_unet()
    with inject(unet, pia_model(), condition):
        ours = errors(unet, golden, noise)
    theirs = errors(as_ldm(diffusers_network(), condition), golden, noise)
    from diffusers import __version__

    print("Relative L2 error against the paper's own code\n")
    print("| | one UNet call | final latents (Euler, 25 steps) |\n|---|---|---|")
    for name, (one, final) in {"this extension": ours, f"diffusers {__version__}": theirs}.items():
        print(f"| {name} | {one:.1e} | {final:.1e} |")
    right = golden["a1111_euler25/64x64_m1"]
    for name, words in CHANGED.items():
        changed = golden[f"a1111_euler25/64x64_m1_{name}"]
        print(f"| paper's code, {words} | | {float((changed - right).norm() / right.norm()):.1e} |")


if __name__ == "__main__":
    main()
