"""Every kind of file a user may take for a PIA model is refused by name. The files hold a few tiny tensors with the
kind's real names."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lib_pia.checkpoint import convert, describe, load_pia_model
from lib_pia.errors import CheckpointError
from tests.tiny_models import diffusers_pia, official_pia, official_to_diffusers

ADVICE = "Download pia.ckpt from Hugging Face (Leoxing/PIA) and put it into models/PIA."
BLOCK = "temporal_transformer.transformer_blocks.0.attention_blocks"


def zeros(**shapes):
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def motion(levels=4, frames=24, middle=False, pe="pos_encoder.pe", module="motion_modules.{}.temporal_transformer"):
    """A motion module with one attention per block."""
    blocks = [f"{side}_blocks.{i}" for side in ("down", "up") for i in range(levels)] + ["mid_block"] * middle
    out = {}
    for block in blocks:
        stem = f"{block}.{module.format(0)}"
        out[f"{stem}.norm.weight"] = torch.zeros(32)
        out[f"{stem}.transformer_blocks.0.attention_blocks.0.to_q.weight"] = torch.zeros(32, 32)
        if frames:
            out[f"{stem}.transformer_blocks.0.attention_blocks.0.{pe}"] = torch.zeros(1, frames, 32)
    return out


def in_diffusers_names(tensors):
    return {official_to_diffusers(name): value for name, value in tensors.items()}


def ldm(context, channels=4, more=()):
    unet = "model.diffusion_model."
    return {
        unet + "input_blocks.0.0.weight": torch.zeros(32, channels, 3, 3),
        unet + "out.2.weight": torch.zeros(4, 32, 3, 3),
        unet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, context),
        "first_stage_model.encoder.conv_in.weight": torch.zeros(8, 3, 3, 3),
        **{name: torch.zeros(2) for name in more},
    }


SD15 = ldm(768, more=["cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"])
LORA_KEY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_{}.weight"
FANCY = {"fps_embedding.linear.weight": torch.zeros(4), "conv_in.weight": torch.zeros(32, 9, 3, 3)}

# name -> (tensors, what the sentence says it is)
KINDS = {
    "sd15": (SD15, "a plain SD1.5 checkpoint"),
    "sd15 inpainting": (ldm(768, 9), "an SD1.5 inpainting checkpoint"),
    "sd2": (ldm(1024), "a plain SD2 checkpoint"),
    "sdxl": (ldm(2048, more=["conditioner.embedders.0.transformer.weight"]), "a plain SDXL checkpoint"),
    "sd3": (zeros(**{"model.diffusion_model.joint_blocks.0.x": (2,)}), "a plain checkpoint of a newer model "),
    "flux": (zeros(**{"model.diffusion_model.double_blocks.0.x": (2,)}), "a plain checkpoint of a newer model "),
    "diffusers unet": (
        zeros(
            **{
                "conv_in.weight": (32, 4, 3, 3),
                "down_blocks.0.resnets.0.conv1.weight": (2,),
                "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (8, 768),
            }
        ),
        "the SD1.5 UNet of a diffusers model",
    ),
    "diffusers inpainting unet": (
        zeros(**{"conv_in.weight": (32, 9, 3, 3), "down_blocks.0.resnets.0.conv1.weight": (2,)}),
        "the Stable Diffusion UNet of a diffusers model",
    ),
    "lora": (zeros(**{LORA_KEY.format("down"): (4, 768), LORA_KEY.format("up"): (8, 4)}), "a LoRA"),
    "sdxl lora": (
        zeros(**{LORA_KEY.format("down"): (4, 2048), "lora_te2_text_model_encoder.lora_up.weight": (8, 4)}),
        "an SDXL LoRA",
    ),
    "lycoris": (zeros(**{"lora_unet_x.hada_w1_a": (4, 4)}), "a LoRA"),
    "peft lora": (zeros(**{"unet.down_blocks.0.attentions.0.to_q.lora_A.weight": (4, 4)}), "a LoRA"),
    "v3 domain adapter": (
        zeros(**{"down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": (4, 4)}),
        "a LoRA",
    ),
    "motion lora v2": (
        zeros(
            **{
                f"{b}.motion_modules.0.{BLOCK}.0.processor.to_q_lora.down.weight": (4, 4)
                for b in ("down_blocks.0", "mid_block")
            }
        ),
        "a motion LoRA for AnimateDiff v2",
    ),
    "motion lora": (
        zeros(**{f"down_blocks.0.motion_modules.0.{BLOCK}.0.processor.to_q_lora.down.weight": (4, 4)}),
        "a motion LoRA for AnimateDiff",
    ),
    "animatediff v1": (motion(frames=24), "an AnimateDiff v1 motion module"),
    "animatediff v2": (motion(frames=32, middle=True), "an AnimateDiff v2 motion module"),
    "animatediff v3": (motion(frames=32), "an AnimateDiff v3 motion module"),
    "animatediff v3, diffusers": (in_diffusers_names(motion(frames=32)), "an AnimateDiff v3 motion module"),
    "animatediff long": (motion(frames=64), "an AnimateDiff motion module"),
    "animatediff unet dump": (
        {**motion(frames=32), **zeros(**{"conv_in.weight": (32, 4, 3, 3), "conv_out.weight": (2,)})},
        "an AnimateDiff v3 motion module",
    ),
    "animatelcm": (motion(frames=0, middle=True), "an AnimateLCM motion module"),
    "animatelcm i2v": ({**motion(frames=0), **zeros(**{"img_encoder.x": (2,)})}, "an AnimateLCM motion module"),
    "hotshotxl": (
        motion(3, 8, pe="pos_encoder.positional_encoding", module="temporal_attentions.{}"),
        "a motion module for SDXL",
    ),
    "animatediff xl": (motion(3, 32), "a motion module for SDXL"),
    "sparsectrl": ({**motion(), **zeros(**{"controlnet_cond_embedding.weight": (2,)})}, "a SparseCtrl model"),
    "fancyvideo": ({**motion(frames=32), **FANCY}, "a FancyVideo motion module"),
    "image-to-video of 8 channels": (
        {**motion(frames=32), **zeros(**{"conv_in.weight": (32, 8, 3, 3)})},
        "a motion model of another architecture (its conv_in.weight takes 8 channels, PIA's takes 9",
    ),
    "ip-adapter": (zeros(**{"image_proj.proj.weight": (4, 4), "ip_adapter.1.to_k_ip.weight": (4, 4)}), "an IP-Adapter"),
    "controlnet": (zeros(**{"control_model.input_hint_block.0.weight": (4, 4)}), "a ControlNet"),
    "t2i-adapter": (zeros(**{"body.0.block1.weight": (4, 4)}), "of a kind not known here (1 tensors, such as body.0"),
    "vae": (
        zeros(
            **{
                "encoder.conv_in.weight": (4, 3, 3, 3),
                "encoder.down.0.block.0.norm1.weight": (4,),
                "decoder.conv_in.weight": (4, 4, 3, 3),
            }
        ),
        "a VAE",
    ),
    "diffusers vae": (
        zeros(
            **{
                "encoder.conv_in.weight": (4, 3, 3, 3),
                "encoder.down_blocks.0.resnets.0.norm1.weight": (4,),
                "decoder.up_blocks.0.resnets.0.norm1.weight": (4,),
            }
        ),
        "a VAE",
    ),
    "embedding": (zeros(emb_params=(2, 768)), "a textual inversion embedding"),
    "sdxl embedding": (zeros(clip_l=(2, 768), clip_g=(2, 1280)), "a textual inversion embedding"),
    "upscaler": (zeros(**{"conv_first.weight": (4, 3, 3, 3)}), "an upscaler"),
    "unknown": (zeros(foo=(2,), bar=(2,)), "of a kind not known here (2 tensors, such as bar, foo)"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_refused_by_name(kind, suffix, tmp_path):
    tensors, says = KINDS[kind]
    path = tmp_path / f"model{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save({"state_dict": tensors, "epoch": 1}, path)
    with pytest.raises(CheckpointError) as error:
        load_pia_model(path)
    text = str(error.value)
    assert text.startswith(f"model{suffix} is not a PIA model: it is {says}") and text.endswith(ADVICE), text
    assert describe(path).detail == text and not describe(path).is_pia and describe(path).name in text
    with pytest.raises(CheckpointError):
        convert(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_motion_modules_say_what_pia_needs(tmp_path):
    save_file(KINDS["animatediff v3"][0], tmp_path / "v3.safetensors")
    with pytest.raises(CheckpointError) as error:
        load_pia_model(tmp_path / "v3.safetensors")
    assert str(error.value) == (
        "v3.safetensors is not a PIA model: it is an AnimateDiff v3 motion module (no 9-channel conv_in.weight; "
        f"position encoding of 32 frames). {ADVICE}"
    )


@pytest.mark.parametrize(
    "content, says",
    [
        (
            {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(2, 768)}, "name": "x"},
            "a textual inversion embedding",
        ),
        (
            {"FancyVideo": True, **motion(frames=32), "conv_in.weight": torch.zeros(32, 9, 3, 3)},
            "a FancyVideo motion module",
        ),
        (
            {"image_proj": {"proj.weight": torch.zeros(2)}, "ip_adapter": {"1.to_k_ip.weight": torch.zeros(2)}},
            "an IP-Adapter",
        ),
        ({"epoch": 1}, "a file without tensors"),
        ({}, "a file without tensors"),
        ([1, 2], "a file without tensors"),
    ],
)
def test_pickles_of_other_structure(content, says, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=says):
        load_pia_model(tmp_path / "x.pt")


# Broken PIA models


@pytest.fixture(scope="module")
def official():
    return official_pia()


def refusal(tensors, tmp_path, name="pia.safetensors"):
    save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / name)
    with pytest.raises(CheckpointError) as error:
        load_pia_model(tmp_path / name)
    assert describe(tmp_path / name).name in ("a broken PIA model", "a PIA model"), describe(tmp_path / name)
    assert str(error.value).startswith(f"{name} is a broken PIA model: ") and str(error.value).endswith(ADVICE)
    return str(error.value)


PROJ = "down_blocks.2.motion_modules.1.temporal_transformer.proj_in.weight"


def test_missing_key_is_named(official, tmp_path):
    tensors = {k: v for k, v in official.items() if k != PROJ}
    assert f"1 of 561 tensors are missing, such as {PROJ}" in refusal(tensors, tmp_path)


def test_missing_key_of_a_diffusers_file_is_named(tmp_path):
    tensors = diffusers_pia()
    del tensors["up_blocks.0.motion_modules.2.transformer_blocks.0.pos_embed.pe"]
    assert "2 of 561 tensors are missing, such as up_blocks.0.motion_modules.2" in refusal(tensors, tmp_path)


@pytest.mark.parametrize(
    "extra",
    [
        "mid_block.motion_modules.0.temporal_transformer.norm.weight",
        "up_blocks.0.motion_modules.3.temporal_transformer.norm.weight",
        "down_blocks.4.motion_modules.0.temporal_transformer.norm.weight",
        f"down_blocks.0.motion_modules.0.{BLOCK}.2.to_q.weight",
    ],
)
def test_extra_motion_key_is_named(extra, official, tmp_path):
    assert f"it has 1 motion tensors that PIA does not have, such as {extra}" in refusal(
        {**official, extra: torch.zeros(2)}, tmp_path
    )


@pytest.mark.parametrize(
    "name, shape, says",
    [
        (PROJ, (64, 128), "[64, 128] instead of [128, 128]"),
        (PROJ, (), "[] instead of [128, 128]"),
        (PROJ, (0, 0), "[0, 0] instead"),
        ("conv_in.weight", (64, 9, 3, 3), "[64, 9, 3, 3] instead of [32, 9, 3, 3]"),
        ("conv_in.weight", (32, 9, 1, 1), "[32, 9, 1, 1] instead of [32, 9, 3, 3]"),
        (f"down_blocks.0.motion_modules.0.{BLOCK}.1.pos_encoder.pe", (1, 24, 32), "[1, 24, 32] instead of [1, 32, 32]"),
    ],
)
def test_wrong_shape_is_named(name, shape, says, official, tmp_path):
    text = refusal({**official, name: torch.zeros(shape)}, tmp_path)
    assert f"1 of its tensors have the wrong shape, such as {name} with {says}" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [PROJ, "conv_in.weight"])
def test_broken_weight_is_named(value, name, official, tmp_path):
    broken = official[name].clone()
    broken.view(-1)[-1] = value
    assert f"{name} holds NaN or infinite weights" in refusal({**official, name: broken}, tmp_path)


def test_integer_weights_are_refused(official, tmp_path):
    assert f"1 of its tensors hold int8 instead of floating-point numbers, such as {PROJ}" in refusal(
        {**official, PROJ: official[PROJ].to(torch.int8)}, tmp_path
    )


def test_width_that_the_norm_groups_do_not_divide(official, tmp_path):
    narrow = {
        k: v[tuple(slice(0, n // 32 * 20) if n % 32 == 0 else slice(None) for n in v.shape)]
        for k, v in official.items()
    }
    assert "20 channels wide, which is no multiple of 32" in refusal(narrow, tmp_path)


def test_position_encoding_of_one_frame(official, tmp_path):
    short = {k: v[:, :1] if k.endswith(".pe") else v for k, v in official.items()}
    assert "its position encoding is for 1 frames" in refusal(short, tmp_path)


def test_two_models_in_one_file(official, tmp_path):
    torch.save({"state_dict": official, "unet": {k: v + 1 for k, v in official.items()}}, tmp_path / "pia.ckpt")
    with pytest.raises(CheckpointError, match="two tensors called conv_in.weight"):
        load_pia_model(tmp_path / "pia.ckpt")


NAMES = sorted(official_pia())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dropped=st.sets(st.sampled_from(NAMES), min_size=1), rest=st.sampled_from(["keep", "drop"]))
def test_any_subset_of_keys_is_refused_with_counts_or_as_another_kind(official, tmp_path, dropped, rest):
    """Few keys dropped, or few kept."""
    kept = set(NAMES) - dropped if rest == "keep" else dropped
    missing = set(NAMES) - kept - {"conv_in.bias"}
    save_file({name: official[name] for name in kept}, tmp_path / "pia.safetensors")
    if not missing:
        load_pia_model(tmp_path / "pia.safetensors")
        return
    with pytest.raises(CheckpointError) as error:
        load_pia_model(tmp_path / "pia.safetensors")
    text = str(error.value)
    if "conv_in.weight" in kept and any(name.startswith(("down", "up")) for name in kept):
        assert f"{len(missing)} of 561 tensors are missing, such as {min(missing)}" in text
    else:
        assert "is not a PIA model" in text
