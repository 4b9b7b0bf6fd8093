"""`fast`: which calls of the UNet are whole, in everything that a clip can have; nothing of it is left behind."""

from __future__ import annotations

import pytest
import torch

from tests.host.clips import SAMPLER_KINDS, animate, animate_text, distance, watching
from tests.host.test_clip_restore import before, fail_in, fails, unharmed  # noqa: F401

SAME = 2e-5
CHAIN = {"num_frames": 14, "window": 8, "overlap": 2}  # windows at 0 and 6
SLIDE = {"num_frames": 16, "window": 8, "overlap": 4, "longer": "slide"}
AND = {"prompt": "a cat :0.7 AND a red dog :0.5"}
APART = {"override_settings": {"batch_cond_uncond": False}}


@pytest.fixture
def unet(host):
    return host.shared.sd_model.model.diffusion_model


@pytest.fixture
def calls(unet):
    """Rows of every call of the UNet, and whether it was whole: "w" or "b"."""
    seen = []
    hooks = [
        unet.register_forward_pre_hook(lambda module, args: seen.append([len(args[0]), "b"])),
        unet.middle_block[0].register_forward_hook(lambda *_: seen[-1].__setitem__(1, "w")),
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.fixture
def latents(host):
    with watching(host, {"fast": 2}, steps=4) as run:
        yield run


def kinds(calls) -> str:
    return "".join(kind for _, kind in calls)


@pytest.mark.usefixtures("unharmed")
def test_off_is_the_default_and_installs_nothing(host, monkeypatch):
    from lib_pia.host.generation import windows

    def never(*args):
        raise AssertionError("installed")

    monkeypatch.setattr(windows, "keep_deep_features", never)
    assert animate(host, {"fast": 0})["images"] == animate(host)["images"]


@pytest.mark.parametrize(
    "settings, request_, wanted",
    [
        ({}, {}, "wbwb"),
        ({"fast": 3}, {"steps": 7}, "wbbwbbw"),
        ({"fast": 5}, {"steps": 7}, "wbbbbwb"),
        (CHAIN, {}, "wbwb" * 2),
        (SLIDE, {}, "www" + "bbb" + "www" + "bbb"),
        ({}, APART, "ww" + "bb" + "ww" + "bb"),
        ({}, AND, "wbwb"),
        ({}, AND | APART, ("www" + "bbb") * 2),
        ({}, {"sampler_name": "Heun", "steps": 3}, "wbwbw"),
        ({}, {"cfg_scale": 1.0}, "wbwb"),
        ({"fast": 3, **SLIDE}, {"s_min_uncond": 1000.0, "steps": 6}, "".join(3 * kind for kind in "wbbwwb")),
        ({}, {"s_min_uncond": 1000.0}, "wbwb"),
        ({"fast": 3}, {"s_min_uncond": 1000.0, "steps": 6}, "wbbwwb"),
    ],
    ids=["2", "3", "5", "chain", "slide", "apart", "AND", "AND apart", "Heun", "cfg 1", "slide NGMS", "NGMS", "NGMS 3"],
)
def test_which_calls_are_whole(latents, calls, settings, request_, wanted):
    made = latents(settings, **request_)
    assert torch.isfinite(made).all() and kinds(calls) == wanted


def test_the_still_of_txt2img_is_the_one_without_it(host, latents, calls):
    latents({"num_frames": 6}, animate_text)
    assert kinds(calls) == "wwww" + "wbwb"


@pytest.mark.parametrize("settings", [{}, CHAIN, SLIDE], ids=["one window", "chain", "slide"])
@pytest.mark.parametrize("request_", [{}, AND], ids=["plain", "AND"])
def test_one_call_or_many(latents, settings, request_):
    together = latents(settings, **request_)
    assert distance(latents(settings, **request_, **APART), together) < SAME
    assert distance(latents({**settings, "fast": 0}, **request_), together) > 1e-4


def test_every_kind_of_sampler(latents, calls):
    for sampler in SAMPLER_KINDS:
        calls.clear()
        made = latents({"fast": 3}, sampler_name=sampler, steps=6)
        assert torch.isfinite(made).all() and kinds(calls)[:3] == "wbb", sampler


def test_a_window_of_a_chain_begins_anew(latents):
    """The first window is the same clip, whatever comes after it, but for the frame that the second one makes again."""
    assert torch.equal(latents({**CHAIN, "num_frames": 8})[:7], latents(CHAIN)[:7])


@pytest.mark.usefixtures("unharmed")
def test_equal_requests_give_equal_clips(host):
    first, second = (animate(host, {"fast": 3}, steps=5)["images"] for _ in range(2))
    assert first == second != animate(host, steps=5)["images"]


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("call", [1, 2])
def test_failures_leave_nothing_behind(host, unet, monkeypatch, call):
    """In a whole call, and in one between."""
    with monkeypatch.context() as patch:
        fail_in(patch, unet.out[0], "forward", RuntimeError("it broke"), call)
        fails(host, 500, "it broke", {"fast": 2})


@pytest.mark.usefixtures("unharmed")
def test_an_interrupt_leaves_nothing_behind(host, unet):
    from modules.shared import state

    hook = unet.register_forward_hook(lambda *_: setattr(state, "interrupted", True))
    try:
        animate(host, {"fast": 2}, steps=4)
    finally:
        hook.remove()


@pytest.mark.usefixtures("unharmed")
def test_another_run_in_the_same_call_is_refused_in_a_sentence(host, unet):
    own = unet.forward

    def twice(x, *args, **kwargs):
        own(x, *args, **kwargs)
        return own(x, *args, **kwargs)

    unet.forward = twice
    try:
        fails(host, 500, "PIA setting fast", {"fast": 2})
    finally:
        del unet.forward
