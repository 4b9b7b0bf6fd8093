"""`hires_scale`: a clip's latents enlarged and sampled again by PIA, its picture encoded at that size."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from PIL import Image

from demo.minihost import HostResponseError
from tests.host.clips import SAMPLER_KINDS, SIZE, animate, animate_text, distance, frames, opened, picture, watching

LARGE = {"hires_scale": 2}
CHAIN = {"num_frames": 14, "window": 8, "overlap": 2}


def sizes(answer):
    return {opened(text).size for text in answer["images"]}


@pytest.fixture
def latents(host):
    with watching(host) as run:
        yield run


@pytest.fixture
def windows(monkeypatch):
    """Of every window that is sampled: which, what it starts from, its condition, and its latents."""
    from lib_pia.host.generation.windows import WindowSampling

    seen = []
    make = WindowSampling._one

    def one(self, call, window, made, number):
        init = self.direction.start(window, made, call.init[window.frames], None).clone()
        samples = make(self, call, window, made, number)
        seen.append((window, init, self.direction.condition(window, made), samples))
        return samples

    monkeypatch.setattr(WindowSampling, "_one", one)
    return seen


def of_size(seen, side):
    return [one for one in seen if one[1].shape[-1] == side]


@pytest.mark.parametrize("how", [animate, animate_text])
def test_the_clip_is_larger_and_told_so(host, how):
    answer = how(host, LARGE, steps=1)
    assert sizes(answer) == {(2 * SIZE, 2 * SIZE)} and len(answer["images"]) == 4
    assert [file["width"] for file in answer["info"]["pia"]] == [2 * SIZE] * 4
    assert "PIA hires scale: 2.0" in answer["info"]["infotexts"][0]
    assert sizes(how(host, {"hires_scale": 1.5}, steps=1)) == {(96, 96)}


def test_off_it_changes_nothing(latents):
    assert torch.equal(latents({"hires_strength": 0.9}), latents())


@pytest.mark.parametrize("how", [animate, animate_text])
def test_the_second_pass_starts_from_the_first_and_from_the_large_picture(latents, windows, how):
    small = latents(clip=how)
    windows.clear()
    latents(LARGE, how)
    (_, _, _, first), (_, begun, condition, _) = windows
    assert torch.equal(first, small)
    wanted = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    assert torch.equal(begun, wanted)
    assert condition.shape == (4, 5, 16, 16)
    assert torch.equal(condition[:, :1], condition[:, :1, :1, :1].expand(4, 1, 16, 16))  # affinity as in the first pass


def test_the_picture_is_encoded_at_the_large_size(host, latents, windows):
    from lib_pia.host.generation.pictures import latent_of

    latents(LARGE, width=32, height=32)
    (_, _, condition, _) = windows[-1]
    p = types.SimpleNamespace(sd_model=host.shared.sd_model)
    wanted = latent_of(p, picture(), (SIZE, SIZE))  # what was given has just this size
    assert torch.equal(condition[0, 1:], wanted[0].float())
    assert distance(condition[0, 1:], windows[0][2][0, 1:].repeat_interleave(2, -1).repeat_interleave(2, -2)) > 1e-2


def test_strength_says_how_much_is_made_anew(latents, windows):
    away = []
    for strength in (0.1, 0.5, 1.0):
        made = latents({**LARGE, "hires_strength": strength}, steps=5)
        away.append(distance(made, windows[-1][1]))
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("settings", [{}, {"condition_frame": -1}, {"start_from": "image"}])
def test_a_chain_goes_on_from_its_known_frames_at_the_large_size(latents, windows, settings):
    made = latents({**CHAIN, **LARGE, **settings})
    assert made.shape == (14, 4, 16, 16) and torch.isfinite(made).all()
    small, large = of_size(windows, 8), of_size(windows, 16)
    assert [window for window, *_ in small] == [window for window, *_ in large] and len(large) == 2
    (before, *_, finished), (window, begun, condition, _) = large
    known = list(window.known)
    assert known and torch.equal(begun[known], finished[[window.start + n - before.start for n in known]])
    assert torch.equal(condition[0, 1:], begun[window.condition_frame].float())


def test_a_slide_and_every_kind_of_sampler(latents):
    assert latents({**CHAIN, **LARGE, "longer": "slide", "motion": "loop"}).shape == (14, 4, 16, 16)
    for sampler in SAMPLER_KINDS:
        made = latents({**LARGE, "num_frames": 2}, sampler_name=sampler, steps=3)
        assert made.shape == (2, 4, 16, 16) and torch.isfinite(made).all(), sampler


def test_equal_requests_give_equal_clips_and_seeds_others(latents):
    assert torch.equal(latents(LARGE), latents(LARGE))
    assert distance(latents(LARGE, seed=2), latents(LARGE)) > 1e-2


def test_a_clip_that_goes_on_and_further_pictures_are_encoded_large(host, latents, windows):
    clip = animate(host, {**LARGE, "formats": ["webp"]}, steps=1)["images"][0]
    settings = {**LARGE, "continue_from": clip, "pictures": [{"frame": -1, "image": host.base64(picture())}]}
    made = latents(settings, steps=1)
    assert made.shape == (8, 4, 16, 16)
    known = windows[-1][0].known
    assert len(known) == 4 and distance(made[:4], windows[-2][1][:4].mean()) > 0
    assert sizes(animate(host, settings, steps=1)) == {(128, 128)}


def test_a_brush_is_enlarged_and_a_mask_that_keeps_is_refused(host, windows):
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(255, (0, 0, 32, SIZE))
    masked = {"mask": host.base64(mask), "mask_blur": 0}
    animate(host, {**LARGE, "mask_means": "motion"}, steps=1, **masked)
    affinity = windows[-1][2][2, 0]
    assert affinity.shape == (16, 16) and (affinity[:, 9:] == 1).all() and (affinity[:, :7] < 1).all()
    for means in ("keep", "both"):
        error = pytest.raises(HostResponseError, animate, host, {**LARGE, "mask_means": means}, **masked).value
        assert "hires_scale cannot enlarge a clip whose mask keeps a part of the picture" in str(error)


@pytest.mark.parametrize("how", [animate, animate_text])
@pytest.mark.parametrize("what", ["interrupted", "skipped", "memory"])
def test_stopped_in_the_second_pass_the_smaller_clip_is_delivered(host, monkeypatch, how, what):
    plain, unet = how(host), host.shared.sd_model.model.diffusion_model

    def stop(module, args):
        if args[0].shape[-1] == 16:
            if what == "memory":
                raise torch.cuda.OutOfMemoryError("out of memory")
            setattr(host.shared.state, what, True)

    with unet.register_forward_pre_hook(stop):
        answer = how(host, LARGE, steps=2)
    assert np.array_equal(frames(answer), frames(plain))
    assert np.array_equal(frames(how(host)), frames(plain))


def test_interrupted_in_the_first_pass_there_is_no_second(host, windows):
    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args: setattr(host.shared.state, "interrupted", True)
    ):
        answer = animate(host, LARGE)
    assert len(windows) == 1 and sizes(answer) == {(SIZE, SIZE)}


def test_attention_is_read_in_the_first_pass(host):
    answer = animate(host, {**LARGE, "attention_of": "cat", "formats": ["gif"]})
    assert [file["format"] for file in answer["info"]["pia"]] == ["gif", "attention.mp4", "attention.npz"]
    assert [file["width"] for file in answer["info"]["pia"]][:2] == [128, 128]


def test_progress_counts_both_passes(host):
    seen = []

    def look(module, args):
        state = host.shared.state
        seen.append((state.job_no, state.job_count, state.textinfo))

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(look):
        animate(host, {**CHAIN, **LARGE}, steps=1)
    assert [(number, count) for number, count, _ in seen] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert [text for *_, text in seen][::3] == [
        "PIA: sampling clip 1/1, window 1/2",
        "PIA: sampling clip 1/1, second pass, window 2/2",
    ]
