"""Inpainting: what is not masked is the input, in every frame."""

from __future__ import annotations

import numpy as np
import pytest

from .clips import animate, animate_text, distance, latents, model
from .pictures import encoded, frames, picture, square_mask

INPUT = np.asarray(picture()).astype(int)
MASKED = np.asarray(square_mask()) > 0
MASK = {"mask": encoded(square_mask()), "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False}


def check(clip):
    difference = np.abs(clip - INPUT).max(-1)
    assert difference[:, ~MASKED].max() == 0
    assert all(frame[MASKED].mean() > 5 for frame in difference)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inpaint_full_res": True, "inpaint_full_res_padding": 8},
        {"inpainting_fill": 2},
        {"mask_blur": 0, "inpainting_fill": 0},
    ],
    ids=["whole picture", "only masked", "latent noise", "fill"],
)
def test_unmasked_pixels_are_the_input(host, request_):
    check(frames(animate(host, **{**MASK, **request_})))


@pytest.mark.parametrize(
    "settings", [{"start_from": "image"}, {"color_match": 1.0}], ids=["from the image", "colours matched"]
)
def test_settings_of_the_clip_leave_unmasked_pixels_alone(host, settings):
    check(frames(animate(host, settings, **MASK)))


def test_inpainting_checkpoint(host, models):
    override = model(models.inpainting())
    check(frames(animate(host, **MASK, **override)))
    assert len(frames(animate(host, **override))) == 4
    assert len(frames(animate_text(host, **override))) == 4


def test_the_masks_latent_noise_does_not_enter_the_condition(host):
    """The condition is the encoded picture, whatever the host puts under the mask afterwards."""
    clips = [latents(host, **{**MASK, "inpainting_fill": fill}) for fill in (2, 3)]
    assert np.isfinite(clips[0]).all() and distance(clips[0], clips[1]) < 1e-5


def test_one_encode_per_clip(host):
    animate(host, {"num_frames": 8}, {"record": True}, n_iter=2, steps=1)
    shapes = [details["x"][0] for kind, details, *_ in host.probed()["events"] if kind == "encode"]
    assert shapes == [1]


def test_the_mask_reaches_the_sampler(host):
    unmasked = ~MASKED[::8, ::8]
    masked_run, free_run = latents(host, **MASK), latents(host)
    assert np.abs(masked_run - masked_run[:1])[..., unmasked].max() == 0  # every frame keeps the input's latent
    assert np.abs(free_run - free_run[:1])[..., unmasked].max() > 0.05
