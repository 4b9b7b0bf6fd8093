"""What PIA cannot animate is refused with one sentence and 422; nothing is half done, and the next request works."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from .clips import TITLE, animate, animate_text
from .models import MODELS
from .pictures import encoded, picture

BOTH = pytest.mark.parametrize("how", [animate, animate_text], ids=["img2img", "txt2img"])


@pytest.mark.parametrize(
    "args, sentence",
    [
        ([{"num_frames": 1}], "PIA setting num_frames is 1; it must be a whole number from 2 to "),
        ([{"fpz": 8}], 'PIA setting "fpz" is unknown; did you mean fps'),
        ([{"fps": "8"}], 'PIA setting fps is "8"; it must be a whole number from 1 to 60.'),
        ([{"formats": []}], "PIA setting formats is []; it must be a list of at least one of"),
        ([{"motion": "custom"}], 'PIA setting motion is "custom" but affinity is empty'),
        ([{"affinity": [1.0, 2.0]}], "PIA setting affinity is [1.0, 2.0]; it must be"),
        ([{"condition_frame": 16}], "PIA setting condition_frame is 16 in a clip of 16 frames"),
        ([True, None, "x"], 'PIA setting num_frames is "x"'),
        (["yes"], 'The first argument of script "Animate (PIA)" is "yes"; it must be an object of PIA settings'),
    ],
)
def test_bad_settings(refused, args, sentence):
    refused(sentence, alwayson_scripts={TITLE: {"args": args}})


@BOTH
@pytest.mark.parametrize("flag, kind", [("is_sdxl", "SDXL"), ("is_sd2", "Stable Diffusion 2")])
def test_other_kinds_of_checkpoints(refused, how, flag, kind):
    scripts = {TITLE: {"args": [{"num_frames": 4}]}, "PIA probe": {"args": [{"lend": {flag: True}}]}}
    refused(f"The checkpoint miniature is {kind}; PIA animates Stable Diffusion 1.5", how=how, alwayson_scripts=scripts)


def test_a_model_that_edits_pictures(refused):
    scripts = {TITLE: {"args": [{}]}, "PIA probe": {"args": [{"lend": {"cond_stage_key": "edit"}}]}}
    refused("The checkpoint miniature is an InstructPix2Pix model; PIA animates", alwayson_scripts=scripts)


def test_switches_of_the_checkpoint_in_the_middle(models, refused):
    other = models.other()
    refused("A refiner would switch the checkpoint in the middle", refiner_checkpoint=other, refiner_switch_at=0.5)
    hires = {"enable_hr": True, "hr_scale": 2.0, "hr_upscaler": "Latent", "hr_checkpoint_name": other}
    refused("Hires. fix would switch to another checkpoint", how=animate_text, denoising_strength=0.5, **hires)


def test_a_replaced_unet(refused):
    scripts = {TITLE: {"args": [{}]}, "PIA probe": {"args": [{"neighbours": ["other_unet"]}]}}
    refused("A replacement for the UNet (TensorRT or the like) is active", alwayson_scripts=scripts)


def test_no_model_file(host, refused, tmp_path):
    with host.options(pia_model_dir=str(tmp_path)):
        refused(f"There is no PIA model in {tmp_path}; download pia.ckpt from https://huggingface.co/Leoxing/PIA")
    with host.options(pia_model_dir=str(tmp_path / "nowhere")):
        refused("There is no PIA model in ")


def test_wrong_files(host, refused, tmp_path):
    (tmp_path / "junk.ckpt").write_bytes(b"\0" * 100)
    tensors = load_file(MODELS / "miniature_pia.safetensors")
    motion = {key: value for key, value in tensors.items() if "conv_in" not in key}
    save_file(motion, tmp_path / "animatediff.safetensors")
    with host.options(pia_model_dir=str(tmp_path)):
        refused("animatediff.safetensors is not a PIA model", {"model": "animatediff"})
        refused("junk.ckpt is not", {"model": "junk.ckpt"})
        refused("PIA model other.ckpt is not in", {"model": "other.ckpt"})


def test_a_model_for_another_width(host, refused, tmp_path):
    from lib_pia.checkpoint import save_pia_model
    from lib_pia.model import PIAModel

    torch.manual_seed(0)
    save_pia_model(PIAModel((32, 32, 32, 32)), tmp_path / "narrow.safetensors")
    with host.options(pia_model_dir=str(tmp_path)):
        refused("The PIA model was made for a UNet of widths 32, but the selected checkpoint's UNet has")


def test_no_picture(refused):
    refused("PIA has no picture to animate; drop one on the img2img tab, or give init_images.", init_images=[])


def test_more_pictures_than_clips(refused):
    two = [encoded(picture())] * 2
    refused("PIA was given 2 pictures for a batch of 1 clips; raise the batch size to 2", init_images=two)


def test_the_first_usable_model_is_taken_without_a_name(host, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"\0" * 100)
    (tmp_path / "b.safetensors").write_bytes((MODELS / "miniature_pia.safetensors").read_bytes())
    with host.options(pia_model_dir=str(tmp_path)):
        for settings in (None, {"model": "B"}):
            assert "PIA model: b.safetensors" in animate(host, settings, steps=1)["info"]["infotexts"][0]
