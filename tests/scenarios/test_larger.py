"""Clips that are larger than what was sampled first."""

from __future__ import annotations

import numpy as np
import pytest

from .clips import animate, animate_text
from .pictures import encoded, frames, opened, square_mask

BOTH = pytest.mark.parametrize("how", [animate, animate_text], ids=["img2img", "txt2img"])


@BOTH
def test_upscale_enlarges_every_frame(host, how):
    small, large = frames(how(host)), frames(how(host, {"upscale": 2, "upscaler": "Nearest"}))
    assert large.shape == (4, 128, 128, 3)
    assert np.array_equal(large[:, ::2, ::2], small)


def test_an_upscaler_that_is_not_there(refused):
    refused("The upscaler ESRGAN 9x is not there; there are: None, Lanczos, Nearest", {"upscaler": "ESRGAN 9x"})


def test_interrupted_while_it_is_sampled_the_clip_keeps_its_size(host, unharmed):
    fault = {"point": "unet", "call": 2, "error": "interrupt"}
    answer = animate(host, {"upscale": 2}, {"fault": fault})
    assert {opened(image).size for image in answer["images"]} == {(64, 64)} and len(answer["images"]) == 4


@BOTH
@pytest.mark.parametrize("sampler", ["Euler a", "DDIM", "DPM++ 2M SDE"])
def test_hires_samples_the_clip_again_larger(host, unharmed, how, sampler):
    large = frames(how(host, {"hires_scale": 2}, sampler_name=sampler))
    assert large.shape == (4, 128, 128, 3)
    assert np.array_equal(large, frames(how(host, {"hires_scale": 2}, sampler_name=sampler)))


def test_interrupted_in_the_second_pass_the_smaller_clip_is_delivered(host, unharmed):
    fault = {"point": "unet", "call": 4, "error": "interrupt"}
    answer = animate(host, {"hires_scale": 2}, {"fault": fault}, steps=3)
    assert np.array_equal(frames(answer), frames(animate(host, steps=3)))


def test_hires_beside_a_mask_that_keeps(refused):
    refused("hires_scale cannot enlarge a clip whose mask keeps", {"hires_scale": 2}, mask=encoded(square_mask()))
