"""Clips that go on from others, arrive at pictures, move where a mask says, say other things over time, and slide."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from demo.minihost import HostResponseError
from lib_pia.settings import PIASettings
from tests.host.clips import Watcher, animate, animate_text, distance, frames, picture
from tests.host.test_clip_restore import before, fails, unharmed  # noqa: F401
from tests.host.test_clip_text import HIRES
from tests.host.test_clip_windows import (  # noqa: F401
    CHAIN,
    INPUT,
    MASK,
    MASKED,
    SHORT,
    at_call,
    break_it,
    conditions,
)

OTHER = picture().transpose(Image.Transpose.ROTATE_180)
SLIDE = {"num_frames": 12, "window": 8, "longer": "slide"}  # windows at 0 and 4


def refused(host, sentence, settings, clip=animate, **request):
    with pytest.raises(HostResponseError) as error:
        clip(host, settings, **request)
    assert error.value.status == 422 and error.value.body["detail"].startswith(sentence), error.value.body["detail"]


# ---- going on


@pytest.fixture(scope="module")
def old(host):
    """A clip as APNG (base64) and its frames."""
    text = animate(host, {"num_frames": 8, "formats": ["apng"]}, steps=1)["images"][0]
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    return text, [frame.copy() for frame in _all(image)]


def _all(image):
    for index in range(image.n_frames):
        image.seek(index)
        yield image.convert("RGB")


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_a_clip_goes_on_from_the_last_frames_of_another(host, clip, old, conditions):  # noqa: F811
    text, shown = old[0], np.stack([np.asarray(frame) for frame in old[1]])
    answer = clip(host, {"num_frames": 6, "continue_from": text}, steps=1)
    whole = frames(answer)
    assert len(whole) == 14 and np.array_equal(whole[:5], shown[:5])
    assert not any(np.array_equal(one, other) for one, other in zip(whole[5:8], shown[5:]))  # they give way to the new
    assert conditions[0][1].tolist()[:5] == pytest.approx(
        [0.8, 0.8, 0.8, 1.0, 0.8]
    )  # 4 known frames, the last one is the condition
    assert len(answer["info"]["pia"][0]["affinity"]) == 6
    new = frames(clip(host, {"num_frames": 6, "continue_from": text, "continue_whole": False}, steps=1))
    assert len(new) == 6 and "PIA continue from: " in answer["info"]["infotexts"][0]


def test_colours_are_matched_by_the_last_known_frame(host, old):
    """It is the one that equals the picture, the last frame of the old clip."""
    whole = frames(animate(host, {"num_frames": 4, "continue_from": old[0], "color_match": 1.0}, steps=1))
    wanted = np.asarray(old[1][-1]).mean((0, 1))
    assert np.abs(whole[7].mean((0, 1)) - wanted).max() < 1.5
    assert np.abs(whole[5].mean((0, 1)) - wanted).max() > 3


def test_known_frames_give_way_only_where_they_are_delivered():
    from lib_pia.host.generation.continued import ContinuedClip
    from lib_pia.host.generation.request import Request

    frames = tuple(Image.new("RGB", (8, 8), (value, 0, 0)) for value in range(10))
    whole, new = (
        Request(PIASettings(continue_whole=kind), True, 1, 1, False, ContinuedClip(frames, 4)) for kind in (True, False)
    )
    assert (whole.remade, whole.before, new.remade, new.before) == (3, frames[:7], 0, ())


def test_what_stays_of_the_known_frames_is_sampled_so(old, latents):
    settings = {"num_frames": 4, "overlap": 4, "continue_from": old[0]}
    whole, new = (latents({**settings, "continue_whole": kind}) for kind in (True, False))
    assert distance(whole[:1], new[:1]) < 1e-6  # as it is given, in both
    assert all(distance(whole[frame], new[frame]) > 1e-3 for frame in (1, 2, 3))


def test_going_on_in_windows(host, old, latents):
    text, _ = old
    made = latents({"num_frames": 7, "continue_from": text, "window": 8, "overlap": 2})
    assert len(made) == 9 and torch.isfinite(made).all()


def test_only_the_frames_that_pia_made_are_gone_on_from():
    from lib_pia.host.generation.continued import as_made

    played = list(range(9)) + list(range(7, 0, -1))  # 5 frames, interpolated by 2, ping-pong
    assert as_made(played, "PIA ping-pong: True, PIA interpolate: 2") == [0, 2, 4, 6, 8]
    assert as_made(played[:9], "") == played[:9]


def test_what_is_no_clip_is_refused(host):
    refused(host, "", {"continue_from": base64.b64encode(b"no clip at all").decode()})
    refused(host, "Clip 99999 is not in the list of last clips any more", {"continue_from": "clip:99999"})


# ---- pictures


def test_an_end_picture_is_the_condition_of_the_last_frame(host, conditions):  # noqa: F811
    plain = frames(animate(host, steps=1))
    answer = animate(host, {"pictures": [{"frame": -1, "image": host.base64(OTHER)}]}, steps=1)
    latent, affinity = conditions[-1]
    assert affinity[0] == affinity[-1] == 1 and latent.shape[0] == 4
    animate(host, image=OTHER, steps=1)
    assert torch.equal(latent[-1:], conditions[-1][0]) and distance(latent[:1], conditions[0][0]) < 1e-6
    assert not np.array_equal(frames(answer), plain) and "PIA pictures: -1 " in answer["info"]["infotexts"][0]


def test_in_a_chain_a_picture_belongs_to_the_window_that_makes_its_frame(host, conditions):  # noqa: F811
    animate(host, {**SHORT, "pictures": [{"frame": -1, "image": host.base64(OTHER)}]}, steps=1)
    assert [len(latent) for latent, _ in conditions] == [1, 8]


def test_a_picture_on_txt2img_after_hires_fits(host, conditions):  # noqa: F811
    animate_text(
        host, {"pictures": [{"frame": 2, "image": host.base64(OTHER)}]}, steps=1, **HIRES, hr_upscaler="Latent"
    )
    assert conditions[-1][0].shape == (4, 4, 16, 16)


def test_a_picture_that_cannot_be_read_is_refused(host):
    refused(
        host, "PIA setting pictures holds an image that cannot be read", {"pictures": [{"frame": -1, "image": "AAAA"}]}
    )


# ---- brush


@pytest.mark.parametrize("full", [False, True])
def test_the_brush_lets_only_its_place_move(host, conditions, full):  # noqa: F811
    clip = frames(animate(host, {"mask_means": "motion"}, mask=host.base64(MASK), mask_blur=0, inpaint_full_res=full))
    affinity = conditions[0][1]
    masked = torch.from_numpy(MASKED[::8, ::8].copy())
    assert affinity.shape == (4, 1, 8, 8)
    assert (affinity[:, 0, ~masked] == 1).all() and affinity[1, 0, masked].tolist() == pytest.approx(
        [0.8] * int(masked.sum())
    )
    assert (
        clip.shape[1:3] == (64, 64) and np.abs(clip - INPUT).max(-1)[:, ~MASKED].max() > 0
    )  # nothing is kept by force
    plain = conditions[0][0]
    animate(host, steps=1)
    assert torch.equal(conditions[-1][0], plain)  # the picture under the mask is whole


def test_both_keeps_what_is_not_masked_too(host):
    clip = frames(animate(host, {"mask_means": "both"}, mask=host.base64(MASK), mask_blur=0, inpaint_full_res=False))
    difference = np.abs(clip - INPUT).max(-1)
    assert difference[:, ~MASKED].max() == 0 and difference[:, MASKED].mean() > 5


def test_a_brush_without_a_mask_is_refused(host):
    for clip in (animate, animate_text):
        refused(host, 'PIA setting mask_means is "motion", but there is no mask', {"mask_means": "motion"}, clip)


# ---- slide


@pytest.mark.parametrize(
    "clip, request_",
    [(animate, {}), (animate, {"prompt": "a cat :0.7 AND a dog :0.5"}), (animate_text, {"sampler_name": "DDIM"})],
    ids=["Euler", "AND", "DDIM"],
)
def test_a_slide_whose_windows_see_the_same_is_each_of_them(latents, monkeypatch, clip, request_):
    """With one window twice, the average is that window."""
    from lib_pia.host.generation import request

    made = latents({"num_frames": 8, "overlap": None}, clip, **request_)
    monkeypatch.setattr(request.Request, "spans", (tuple(range(8)), tuple(range(8))))
    assert distance(latents({"num_frames": 8, "overlap": None}, clip, **request_), made) < 2e-5


def test_the_unet_sees_one_window_at_a_time(host, latents):
    rows = []
    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args: rows.append(len(args[0]))
    ):
        made = latents({**SLIDE, "overlap": None, "motion": "loop"}, steps=1)
    assert len(made) == 12 and set(rows) == {16} and len(rows) == 3
    assert torch.isfinite(made).all()


@pytest.mark.parametrize(
    "settings, wanted", [({**SLIDE, "overlap": 4}, [range(0, 8), range(4, 12)]), (SHORT, [range(0, 8), range(1, 9)])]
)
def test_who_follows_the_frames_is_told_those_of_the_call(host, settings, wanted):
    watcher, told = Watcher(host), []

    def note(p):
        def hook(module, args):
            told.append(list(vars(p)["pia_session"].session.run.windows.frames_now))

        watcher.handle = host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(hook)

    watcher.hooks["process_batch"] = note
    try:
        with host.script(watcher):
            animate(host, settings, steps=1)
    finally:
        watcher.handle.remove()
    assert told == [list(frames_) for frames_ in wanted]


@pytest.mark.parametrize("mask", [False, True])
def test_slides_with_masks_travel_and_unbatched(host, latents, mask):
    request = {"mask": host.base64(MASK), "inpaint_full_res": False} if mask else {}
    settings, prompt = {**SLIDE, "overlap": 2}, "0: red\n11: blue"
    together = latents(settings, prompt=prompt, **request)
    assert distance(latents(settings, prompt=prompt, options={"batch_cond_uncond": False}, **request), together) < 2e-5


def test_a_failure_in_a_slide_leaves_the_host_as_it_was(host, unharmed):  # noqa: F811
    with at_call(host, 2, break_it):
        fails(host, 500, "the UNet broke", SLIDE)
    assert "apply_model" not in vars(host.shared.sd_model)
