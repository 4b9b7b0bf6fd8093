"""Whatever happens to a clip: the next picture and the next clip are what they were, and the model bit for bit."""

from __future__ import annotations

import pytest

from .client import AnswerError
from .clips import animate, animate_text, still
from .pictures import pixels

pytestmark = pytest.mark.usefixtures("unharmed")
BOTH = pytest.mark.parametrize("how", [animate, animate_text], ids=["img2img", "txt2img"])


def fails(host, text, settings=None, how=animate, status=500, fault=None, **request):
    with pytest.raises(AnswerError) as error:
        how(host, settings, {"fault": fault} if fault else None, **request)
    assert error.value.status == status
    assert text in (error.value.body["detail"] or error.value.body["errors"])


@BOTH
def test_a_normal_end(host, how):
    assert len(how(host)["images"]) == 4


def test_failure_in_the_settings(host):
    fails(host, "num_frames is 1", {"num_frames": 1}, status=422)


def test_failure_in_the_model_file(host, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with host.options(pia_model_dir=str(tmp_path)):
        fails(host, "broken.safetensors", status=422)


def test_failure_while_the_model_is_read(host, tmp_path):
    """The file is there and right, and the disk fails."""
    from .models import MODELS

    (tmp_path / "copy.safetensors").write_bytes((MODELS / "miniature_pia.safetensors").read_bytes())
    with host.options(pia_model_dir=str(tmp_path)):
        fault = {"point": "file", "match": r"copy\.safetensors$", "errno": 5}
        fails(host, "copy.safetensors", status=422, fault=fault)
        assert len(animate(host)["images"]) == 4


def test_failure_in_the_encoder(host):
    fails(host, "encoder broke", fault={"point": "encode", "message": "encoder broke"})


@BOTH
def test_failure_in_unet_call_3(host, how):
    fails(host, "the UNet broke", how=how, steps=4, fault={"point": "unet", "call": 3, "message": "the UNet broke"})


@BOTH
def test_out_of_memory(host, how):
    fault = {"point": "unet", "error": "out of memory", "message": "CUDA out of memory. Tried to allocate 20 MiB"}
    call = 1 if how is animate else 4  # the still picture is the host's own
    fails(
        host,
        "The device ran out of memory while it animated (CUDA out",
        how=how,
        fault={**fault, "call": call},
        steps=3,
    )


def test_failure_in_the_decoder(host):
    fails(host, "decoder broke", fault={"point": "decode", "call": 2, "message": "decoder broke"})


def test_failure_of_the_hosts_own_sampler(host):
    fails(host, "no such sampler", fault={"point": "create_sampler", "call": 2, "message": "no such sampler"})


FULL = {"point": "file", "match": r"\.gif", "event": "os.rename", "errno": 28}


def test_a_format_that_fails_loses_nothing_else(host):
    answer = animate(host, {"formats": ["gif", "webp"]}, {"fault": FULL})
    failed, written = answer["info"]["pia"]
    assert "is full; free some space." in failed["error"] and failed["index"] is None
    assert (written["format"], written["index"]) == ("webp", 0)
    assert len(answer["images"]) == len(answer["info"]["infotexts"]) == 1


def test_all_formats_failing_delivers_the_frames(host, usual):
    answer = animate(host, {"formats": ["gif"]}, {"fault": FULL})
    assert [pixels(text) for text in answer["images"]] == [pixels(text) for text in usual[1]]
    assert "is full; free some space." in answer["info"]["pia"][0]["error"]


@BOTH
@pytest.mark.parametrize("call", [1, 3])
def test_interrupt_gives_a_clip_all_the_same(host, how, call):
    answer = how(host, None, {"fault": {"point": "unet", "call": call, "error": "interrupt"}}, steps=4)
    assert len(answer["images"]) == 4


def test_interrupted_before_the_animation_every_frame_is_the_still(host):
    """The still picture's last call is interrupted: it is finished, and nothing is animated."""
    answer = animate_text(host, None, {"fault": {"point": "unet", "call": 2, "error": "interrupt"}}, seed=5, steps=2)
    assert len({pixels(text) for text in answer["images"]}) == 1


def test_skip_goes_on_with_the_next_clip(host):
    fault = {"point": "unet", "call": 1, "error": "skip"}
    answer = animate(host, {"num_frames": 2}, {"fault": fault}, n_iter=2, steps=3)
    assert len(answer["images"]) == 4
    assert answer["images"][2:] == animate(host, {"num_frames": 2}, seed=3, subseed=3, steps=3)["images"]


@pytest.mark.parametrize(
    "hook", ["before_process", "process_batch", "process_before_every_sampling", "postprocess_image"]
)
def test_a_hook_of_another_extension_that_fails(host, usual, hook):
    answer = animate(host, None, {"fault": {"point": hook, "message": "another extension broke"}})
    assert answer["images"] == usual[1]


def test_the_picture_made_after_a_failure_is_the_one_before(host):
    before = still(host, seed=11)
    fails(host, "broke", steps=3, fault={"point": "unet", "call": 2, "message": "broke"})
    assert still(host, seed=11) == before
