"""Scenario 10: what PIA cannot animate is refused with one sentence and 422; nothing is half done, and the next request works."""
from __future__ import annotations

import pytest
from safetensors.torch import save_file

from demo.minihost import HostResponseError
from tests import tiny_models
from tests.host.clips import animate, animate_text, picture, still


@pytest.fixture(scope="module")
def usual(host):
    return still(host), animate(host)["images"]


@pytest.fixture
def refused(host, usual):
    """refused(sentence, clip, **request): the request is refused with a sentence that starts so, before anything is computed."""
    unet_calls = []

    def run(sentence, clip=animate, settings=None, **request):
        with pytest.raises(HostResponseError) as error:
            clip(host, settings, **request)
        assert error.value.status == 422
        assert error.value.body["detail"].startswith(sentence), error.value.body["detail"]
        assert "\n" not in error.value.body["detail"] and error.value.body["detail"].endswith(".")
        return unet_calls

    yield run
    assert (still(host), animate(host)["images"]) == usual


def checkpoint(name):
    return {"override_settings": {"sd_model_checkpoint": name}}


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_other_kinds_of_checkpoints(models, refused, clip):
    refused("The checkpoint fake-sdxl is SDXL; PIA animates Stable Diffusion 1.5 checkpoints only", clip, **checkpoint(models.sdxl()))
    refused("The checkpoint fake-sd2 is Stable Diffusion 2; PIA animates", clip, **checkpoint(models.sd2()))


def test_a_model_that_edits_pictures(host, refused, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(host.shared.sd_model, "cond_stage_key", "edit")
        refused("The checkpoint tiny is an InstructPix2Pix model; PIA animates")


def test_switches_of_the_checkpoint_in_the_middle(models, refused):
    other = models.other()
    refused("A refiner would switch the checkpoint in the middle of the clip", refiner_checkpoint=other, refiner_switch_at=0.5)
    refused("Hires. fix would switch to another checkpoint", animate_text, enable_hr=True, hr_scale=2.0, hr_upscaler="Latent",
            hr_checkpoint_name=other)


def test_a_replaced_unet(host, refused, monkeypatch):
    from modules import sd_unet

    with monkeypatch.context() as patch:
        patch.setattr(sd_unet, "current_unet", object())
        patch.setattr(sd_unet, "apply_unet", lambda option=None: None)
        refused("A replacement for the UNet (TensorRT or the like) is active")


def test_a_replaced_unet_that_the_host_takes_out_again(host, monkeypatch):
    """The host applies the setting after p.init: what was active before must not refuse the request."""
    from modules import sd_unet

    monkeypatch.setattr(sd_unet, "current_unet", object())
    monkeypatch.setattr(sd_unet, "apply_unet", lambda option=None: setattr(sd_unet, "current_unet", None))
    assert len(animate(host)["images"]) == 4


def test_no_model_file(host, refused, tmp_path):
    with host.options(pia_model_dir=str(tmp_path)):
        refused(f"There is no PIA model in {tmp_path}; download pia.ckpt from https://huggingface.co/Leoxing/PIA")
    with host.options(pia_model_dir=str(tmp_path / "nowhere")):
        refused("There is no PIA model in ")


def test_wrong_files(host, models, refused, tmp_path):
    (tmp_path / "junk.ckpt").write_bytes(b"\0" * 100)
    motion = {key: value.contiguous() for key, value in tiny_models.official_pia().items() if "conv_in" not in key}
    save_file(motion, tmp_path / "animatediff.safetensors")
    with host.options(pia_model_dir=str(tmp_path)):
        refused("animatediff.safetensors is not a PIA model", settings={"model": "animatediff"})
        refused("junk.ckpt is not", settings={"model": "junk.ckpt"})
        refused("PIA model other.ckpt is not in", settings={"model": "other.ckpt"})


def test_a_model_for_another_width(host, refused, tmp_path):
    import torch

    from lib_pia.checkpoint import save_pia_model
    from lib_pia.model import PIAModel

    torch.manual_seed(0)
    save_pia_model(PIAModel((64, 64, 64, 64)), tmp_path / "wide.safetensors")
    with host.options(pia_model_dir=str(tmp_path)):
        refused("The PIA model was made for a UNet of widths 64, but the selected checkpoint's UNet has")


def test_no_picture(host, refused):
    refused("PIA has no picture to animate; drop one on the img2img tab, or give init_images.", init_images=[])


def test_more_pictures_than_clips(host, refused):
    refused("PIA was given 2 pictures for a batch of 1 clips; raise the batch size to 2", init_images=[host.base64(picture())] * 2)


def test_the_first_usable_model_is_taken_without_a_name(host, models, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"\0" * 100)
    save_file({key: value.contiguous() for key, value in tiny_models.official_pia().items()}, tmp_path / "b.safetensors")
    with host.options(pia_model_dir=str(tmp_path)):
        assert "PIA model: b.safetensors" in animate(host, steps=1)["info"]["infotexts"][0]
        assert "PIA model: b.safetensors" in animate(host, {"model": "B"}, steps=1)["info"]["infotexts"][0]
