"""Restoring, where a test must look inside: the rest is in tests/scenarios/test_restore.py."""

from __future__ import annotations

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
    assert host.shared.state.textinfo is None
    for name, module in unet.named_modules():
        assert not module._forward_hooks and not module._forward_pre_hooks, name
        assert {key for key in vars(module)} == set(state[name]), name
    assert "encode_first_stage" not in vars(host.shared.sd_model)
    assert (still(host), animate(host)["images"]) == before


def test_two_equal_requests_give_equal_clips_though_the_global_random_numbers_moved(host, before, unharmed):
    torch.randn(1000)
    assert animate(host)["images"] == before[1]


def ordinary(host):
    """An ordinary img2img, which draws from torch's global random numbers."""
    return host.img2img(**{**BASE, "init_images": [host.base64(picture())], "denoising_strength": 0.6})["images"]


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_the_next_ordinary_img2img_is_the_one_without_the_clip(host, clip, monkeypatch):
    drawn, encode = [], type(host.shared.sd_model).get_first_stage_encoding

    def noisy(self, latent):  # the VAE here is nearly exact: make its draw visible
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


def test_an_error_after_the_sampling_is_told_and_the_frames_delivered(host, unharmed, monkeypatch):
    from lib_pia.host.delivery import output

    with monkeypatch.context() as patch:
        fail_in(patch, output, "match_colors", ValueError("colours broke"))
        answer = animate(host, {"color_match": 1.0})
    assert len(answer["images"]) == 4 and answer["info"]["pia"][0]["error"] == "colours broke"


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


def test_a_replaced_unet_that_the_host_takes_out_again(host, monkeypatch):
    """The host applies the setting after p.init: what was active before must not refuse the request."""
    from modules import sd_unet

    monkeypatch.setattr(sd_unet, "current_unet", object())
    monkeypatch.setattr(sd_unet, "apply_unet", lambda option=None: setattr(sd_unet, "current_unet", None))
    assert len(animate(host)["images"]) == 4


def test_rows_that_cannot_be_sorted_are_an_error(host, monkeypatch):
    from lib_pia.host.generation import clip as sampling

    def broken(params, num_frames):
        raise KeyError("no such row")

    monkeypatch.setattr(sampling, "sort_by_part", broken)
    with pytest.raises(HostResponseError) as error:
        animate(host, prompt="a cat AND a dog")
    assert "The rows of a prompt with AND could not be sorted into clips" in error.value.body["detail"]
