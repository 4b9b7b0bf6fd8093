"""Chains: clips of several windows, with everything that a clip of one window can have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.host.clips import SAMPLER_KINDS, animate, animate_text, distance, frames, picture, still
from tests.host.test_clip_restore import before, fails, unharmed  # noqa: F401

CHAIN = {"num_frames": 14, "window": 8, "overlap": 2}  # windows at 0 and 6
THREE = {**CHAIN, "num_frames": 15}  # and at 7
SHORT = {**CHAIN, "num_frames": 9}  # windows at 0 and 1
SAME = 2e-5
INPUT = np.asarray(picture()).astype(int)
MASK = Image.new("L", (64, 64), 0)
MASK.paste(255, (16, 16, 48, 48))
MASKED = np.asarray(MASK) > 0


@pytest.fixture(scope="module")
def second(host):
    """The images of the chain that follows the plain one in a batch."""
    return animate(host, CHAIN, seed=15)["images"]


@pytest.fixture
def conditions(monkeypatch):
    """What each window is told: (z^I, affinity)."""
    from lib_pia.host.generation import direction

    seen, original = [], direction.build_condition
    monkeypatch.setattr(
        direction,
        "build_condition",
        lambda latent, affinity: seen.append((latent.clone(), affinity)) or original(latent, affinity),
    )
    return seen


@pytest.mark.parametrize(
    "clip, sampler", [(animate, "DPM++ 2M SDE"), (animate, "DDIM"), (animate_text, "Euler a"), (animate_text, "DDIM")]
)
def test_a_chain_begins_as_the_clip_of_its_first_window(latents, clip, sampler):
    one, chain = latents({"num_frames": 8}, clip, sampler_name=sampler), latents(None, clip, sampler_name=sampler)
    assert chain.shape[0] == 14 and torch.equal(chain[:7], one[:7]) and torch.isfinite(chain).all()
    assert 0 < distance(chain[7], one[7]) < distance(chain[7], one[6])  # gives way to the second window
    assert torch.equal(latents(THREE, clip, sampler_name=sampler)[:13], chain[:13])


def test_a_window_goes_on_from_the_last_known_frame(latents, conditions):
    alone = latents({"num_frames": 8})
    made = latents()
    (first, at_first), (second, at_second) = conditions[1:]
    assert torch.equal(second[0], alone[7].float()) and not torch.equal(first, second)
    assert at_second.tolist()[:3] == pytest.approx([0.8, 1.0, 0.8]) and at_first[0] == 1
    assert torch.equal(latents({"anchor": 0.25})[:7], made[:7])
    assert distance(conditions[-1][0], 0.75 * second + 0.25 * first) < 1e-6


def test_known_frames_guide_the_new_ones(latents, plain, monkeypatch):
    """Without its known frames a window is another one."""
    from lib_pia.host.generation import windows

    original = windows.WindowSampling._window_of_p

    def forgets(self, window, init):
        import dataclasses

        return original(self, dataclasses.replace(window, known=()), init)

    monkeypatch.setattr(windows.WindowSampling, "_window_of_p", forgets)
    assert distance(latents()[8:], plain[8:]) > 1e-5


@pytest.mark.parametrize("sampler", ["DDIM"])
def test_the_model_sees_known_frames_at_the_noise_of_the_step(host, latents, sampler):
    seen = []
    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].clone())
    ):
        made = latents(SHORT, sampler_name=sampler, steps=4)
    second = [x[:1] for x in seen[len(seen) // 2 :]]  # frame 1 in the second window's calls
    clean = [distance(x, made[1:2]) for x in second]
    assert min(clean) > 1e-3 and clean[0] > clean[-1]


def test_clean_clamp_is_what_the_host_does_itself(host, latents, monkeypatch):
    from lib_pia.host.generation import windows

    monkeypatch.setattr(windows, "CLAMP", "clean")
    seen = []
    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].clone())
    ):
        made = latents(SHORT, sampler_name="DDIM")
    assert distance(seen[-1][:1], made[1:2]) < 1e-6


def test_every_kind_of_sampler(latents):
    for sampler in SAMPLER_KINDS:
        made = latents(SHORT, sampler_name=sampler, cfg_scale=1.0)
        assert len(made) == 9 and torch.isfinite(made).all() and distance(made[8], made[7]) > 1e-3, sampler


@pytest.mark.parametrize(
    "request_",
    [{}, {"prompt": "a cat :0.7 AND a red dog :0.5"}, {"prompt": "a cat, " * 40}],
    ids=["plain", "AND", "long prompt"],
)
def test_one_call_or_many(latents, plain, request_):
    together = latents(**request_) if request_ else plain
    assert distance(latents(**request_, options={"batch_cond_uncond": False}), together) < SAME


def test_steps_without_negative_prompt_and_two_equal_halves(latents):
    ngms = latents(SHORT, s_min_uncond=8.0, steps=4)
    assert distance(latents(SHORT, prompt="a cat :0.5 AND a cat :0.5", s_min_uncond=8.0, steps=4), ngms) < SAME
    assert distance(ngms, latents(SHORT, steps=4)) > 1e-3


@pytest.mark.parametrize(
    "settings, sampler",
    [({}, "Euler"), ({}, "DDIM"), ({"start_from": "image"}, "DDIM"), ({"condition_frame": -1}, "Euler")],
    ids=["noise", "noise, DDIM", "image", "backwards"],
)
def test_what_is_not_masked_stays_the_input(host, settings, sampler):
    clip = frames(
        animate(
            host,
            {**CHAIN, **settings},
            mask=host.base64(MASK),
            mask_blur=0,
            inpainting_fill=1,
            inpaint_full_res=False,
            sampler_name=sampler,
        )
    )
    difference = np.abs(clip - INPUT).max(-1)
    assert len(clip) == 14 and difference[:, ~MASKED].max() == 0
    assert all(frame[MASKED].mean() > 5 for frame in difference)


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_start_from_the_image_goes_on_from_the_known_frame(latents, clip):
    near, far = (latents({"start_from": "image"}, clip, denoising_strength=s, steps=5) for s in (0.2, 0.9))
    assert distance(near[8], near[7]) < distance(far[8], far[7])


def test_batches_are_the_clips_of_their_seeds(host, second):
    both = animate(host, CHAIN, batch_size=2, seed=1)
    assert len(both["images"]) == 28 and both["images"][14:] == second
    assert [len(file["affinity"]) for file in both["info"]["pia"][:1]] == [14]


def test_inpainting_checkpoint_and_lora(host, models, latents, plain):
    assert distance(latents(prompt=f"a cat <lora:{models.lora()}:1>"), plain) > 1e-3
    assert distance(latents(options={"sd_model_checkpoint": models.inpainting()}), plain) > 1e-3


# ---- ends


def at_call(host, number, act):
    """A hook on the UNet that acts at call `number`, from 1."""
    calls = []

    def hook(module, args):
        calls.append(1)
        if len(calls) == number:
            act()

    return host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(hook)


def break_it():
    raise RuntimeError("the UNet broke")


@pytest.mark.parametrize("clip, window", [(animate, 0), (animate, 1), (animate, 2), (animate_text, 1)])
def test_a_failure_in_any_window_leaves_the_host_as_it_was(host, unharmed, clip, window):  # noqa: F811
    stills = 2 if clip is animate_text else 0
    with at_call(host, stills + 2 * window + 2, break_it):
        fails(host, 500, "the UNet broke", THREE, animate=clip)


@pytest.mark.parametrize("mask", [False, True])
def test_an_interrupt_delivers_the_finished_frames(host, unharmed, mask):  # noqa: F811
    request = {"mask": host.base64(MASK), "inpaint_full_res": False} if mask else {}
    whole = animate(host, THREE, **request)["images"]
    with at_call(host, 5, host.shared.state.interrupt):  # in the third window of 2 steps each
        answer = animate(host, THREE, **request)
    assert len(answer["images"]) == 14
    assert answer["images"][:13] == whole[:13]  # frame 13 gives way to the third window


def test_skip_delivers_the_finished_frames_and_goes_on_with_the_next_clip(host, unharmed, second):  # noqa: F811
    with at_call(host, 3, host.shared.state.skip):
        answer = animate(host, CHAIN, n_iter=2)
    assert len(answer["images"]) == 8 + 14
    assert answer["images"][8:] == second


def test_stop_generating_finishes_the_window(host, unharmed):  # noqa: F811
    with at_call(host, 1, host.shared.state.stop_generating):
        answer = animate(host, THREE)
    host.shared.state.stopping_generation = False
    assert len(answer["images"]) == 8


def test_progress_counts_every_window(host):
    told = []
    state = host.shared.state

    def note(module, args):
        told.append((state.job_no, state.job_count, state.textinfo))

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(note):
        animate(host, SHORT, n_iter=2, steps=1)
    assert [no for no, _, _ in told] == [0, 1, 2, 3] and {count for _, count, _ in told} == {4}
    assert [text for *_, text in told][:2] == [
        "PIA: sampling clip 1/2, window 1/2",
        "PIA: sampling clip 1/2, window 2/2",
    ]


def test_the_preview_shows_the_finished_frames_too(host, monkeypatch):
    from lib_pia.host.generation import preview

    shown = []
    monkeypatch.setattr(preview.ClipPreview, "_show", lambda self, latents, count: shown.append(len(latents)))
    monkeypatch.setattr(preview.ClipPreview, "affordable", lambda self: 1)
    with host.shared.sd_model.model.diffusion_model.register_forward_hook(
        lambda *_: host.shared.state.do_set_current_image()
    ):
        animate(host, CHAIN, steps=2)
    assert shown[-1] == 8 + 8 and 8 in shown


def test_an_ordinary_picture_after_a_chain(host):
    ordinary = still(host)
    animate(host, SHORT, picture())
    assert still(host) == ordinary
