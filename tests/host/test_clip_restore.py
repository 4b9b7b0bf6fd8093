"""Scenario 3: whatever happens to a clip, the next ordinary picture and the next clip are what they were before."""
from __future__ import annotations

import dataclasses

import pytest
import torch

from demo.minihost import HostResponseError
from tests.host.clips import BASE, Watcher, animate, animate_text, picture, still


@pytest.fixture(scope="module")
def before(host):
    return still(host), animate(host)["images"]


@pytest.fixture
def unharmed(host, before):
    """After the test: the host makes the same picture and the same clip as before it, and its model is clean."""
    unet = host.shared.sd_model.model.diffusion_model
    state = {name: dict(vars(module)) for name, module in unet.named_modules()}
    yield
    for name, module in unet.named_modules():
        assert not module._forward_hooks and not module._forward_pre_hooks, name
        assert {key for key in vars(module)} == set(state[name]), name
    assert "encode_first_stage" not in vars(host.shared.sd_model)
    assert (still(host), animate(host)["images"]) == before
    assert not host.shared.state.textinfo or not host.shared.state.textinfo.startswith("PIA: sampling")


def test_two_equal_requests_give_equal_clips_though_the_global_random_numbers_moved(host, before, unharmed):
    torch.randn(1000)
    assert animate(host)["images"] == before[1]


def ordinary(host):
    """An ordinary img2img, which draws from torch's global random numbers."""
    return host.img2img(**{**BASE, "init_images": [host.base64(picture())], "denoising_strength": 0.6})["images"]


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_the_next_ordinary_img2img_is_the_one_without_the_clip(host, clip, monkeypatch):
    drawn, encode = [], type(host.shared.sd_model).get_first_stage_encoding

    def noisy(self, latent):                                    # the VAE here is nearly exact: make its draw visible
        drawn.append(torch.randn(4))
        return encode(self, latent)

    monkeypatch.setattr(type(host.shared.sd_model), "get_first_stage_encoding", noisy)
    ordinary(host)
    state = torch.get_rng_state()
    ordinary(host)
    wanted = drawn[-1]
    torch.set_rng_state(state)
    clip(host)
    assert torch.equal(torch.get_rng_state(), state)
    ordinary(host)
    assert torch.equal(drawn[-1], wanted)


@pytest.mark.parametrize("name, status", [("decode_first_stage", 500), ("encode_first_stage", 500)])
def test_a_clip_that_failed_leaves_the_global_random_numbers_too(host, monkeypatch, name, status):
    state = torch.get_rng_state()
    with monkeypatch.context() as patch:
        fail_in(patch, host.shared.sd_model, name, RuntimeError("it broke"))
        fails(host, status, "it broke")
    assert torch.equal(torch.get_rng_state(), state)


def fail_in(monkeypatch, target, name, error, call=1):
    """The `call`-th call of `target.name` raises `error`."""
    original, calls = getattr(target, name), []

    def failing(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, failing)


def fails(host, status, text, settings=None, animate=animate, **request):
    with pytest.raises(HostResponseError) as error:
        animate(host, settings, **request)
    assert error.value.status == status
    assert text in (error.value.body["detail"] or error.value.body["errors"])


def test_failure_in_the_settings(host, unharmed):
    fails(host, 422, "num_frames is 513", {"num_frames": 513})


def test_failure_in_model_loading(host, unharmed, monkeypatch):
    from lib_pia.host import models

    models.cache.drop()
    with monkeypatch.context() as patch:
        fail_in(patch, models, "load_pia_model", MemoryError("no memory for the model"))
        fails(host, 500, "no memory for the model")


def test_failure_in_vae_encode(host, unharmed, monkeypatch):
    with monkeypatch.context() as patch:
        fail_in(patch, host.shared.sd_model.first_stage_model, "encode", RuntimeError("encoder broke"))
        fails(host, 500, "encoder broke")


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_failure_in_unet_step_3(host, unharmed, clip):
    calls = []

    def third(module, args):
        calls.append(module)
        if len(calls) == 3:
            raise RuntimeError("the UNet broke")

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(third):
        fails(host, 500, "the UNet broke", animate=clip, steps=4)


def test_out_of_memory(host, unharmed):
    def full(module, args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(full):
        fails(host, 500, "The device ran out of memory while it animated (CUDA out of memory.")


def test_failure_in_decode(host, unharmed, monkeypatch):
    with monkeypatch.context() as patch:
        fail_in(patch, host.shared.sd_model, "decode_first_stage", RuntimeError("decoder broke"), call=2)
        fails(host, 500, "decoder broke")


def failing_format(monkeypatch, name, error):
    from lib_pia.video import encode as video

    def broken(*args):
        raise error

    monkeypatch.setitem(video.FORMAT, name, dataclasses.replace(video.FORMAT[name], write=broken))


def test_a_format_that_fails_loses_nothing_else(host, unharmed, monkeypatch):
    with monkeypatch.context() as patch:
        failing_format(patch, "gif", OSError(28, "No space left on device"))
        answer = animate(host, {"formats": ["gif", "webp"]})
    failed, written = answer["info"]["pia"]
    assert "is full; free some space." in failed["error"] and failed["index"] is None
    assert (written["format"], written["index"]) == ("webp", 0) and len(answer["images"]) == len(answer["info"]["infotexts"]) == 1


def test_all_formats_failing_delivers_the_frames(host, before, unharmed, monkeypatch):
    with monkeypatch.context() as patch:
        failing_format(patch, "gif", OSError(28, "No space left on device"))
        answer = animate(host, {"formats": ["gif"]})
    from tests.host.clips import pixels

    assert [pixels(text) for text in answer["images"]] == [pixels(text) for text in before[1]]
    assert "is full; free some space." in answer["info"]["pia"][0]["error"]


def test_an_error_after_the_sampling_is_told_and_the_frames_delivered(host, unharmed, monkeypatch):
    from lib_pia.host.delivery import output

    with monkeypatch.context() as patch:
        fail_in(patch, output, "match_colors", ValueError("colours broke"))
        answer = animate(host, {"color_match": 1.0})
    assert len(answer["images"]) == 4 and answer["info"]["pia"][0]["error"] == "colours broke"


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_interrupt_gives_a_clip_all_the_same(host, unharmed, clip):
    def interrupt(module, args):
        host.shared.state.interrupt()

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(interrupt):
        answer = clip(host, steps=4)
    assert len(answer["images"]) == 4


def test_skip_goes_on_with_the_next_clip(host, unharmed):
    skipped = []

    def skip(module, args):
        if not skipped:
            skipped.append(host.shared.state.skip())

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(skip):
        answer = animate(host, {"num_frames": 2}, n_iter=2, steps=3)
    assert len(answer["images"]) == 4
    assert answer["images"][2:] == animate(host, {"num_frames": 2}, seed=3, steps=3)["images"]


def test_another_script_that_takes_the_sampling_away_is_told_of(host, unharmed):
    watcher = Watcher(host)

    def takes(p):
        vars(p)["pia_session"].loan.give_back("sample")

    watcher.hooks["process_batch"] = takes
    with host.script(watcher):
        answer = animate(host)
    assert "another extension replaced the host's sampling" in answer["info"]["pia"][0]["error"]


def test_a_hook_of_ours_that_fails_is_raised_where_the_user_sees_it(host, unharmed, monkeypatch):
    from lib_pia.host.generation.session import Session

    with monkeypatch.context() as patch:
        fail_in(patch, Session, "_show_picture", ZeroDivisionError("a defect"), call=2)
        fails(host, 500, "a defect")
