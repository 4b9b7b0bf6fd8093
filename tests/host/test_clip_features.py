"""Scenario 8: the host's other features run with a clip."""
from __future__ import annotations

import numpy as np
import pytest

from tests.host.clips import Watcher, animate, distance, frames, picture, pixels


@pytest.fixture
def latents(host):
    watcher = Watcher(host)

    def run(settings=None, **request):
        animate(host, settings, **request)
        return watcher.latents[-1]

    with host.script(watcher):
        yield run


def test_lora_changes_the_clip(host, models, latents):
    plain = latents()
    assert distance(latents(prompt=f"a cat <lora:{models.lora()}:1>"), plain) > 1e-3
    assert distance(latents(), plain) == 0


def test_clip_skip_and_tiling_change_the_clip(latents):
    plain = latents()
    assert distance(latents(override_settings={"CLIP_stop_at_last_layers": 2}), plain) > 1e-3
    assert distance(latents(tiling=True), plain) > 1e-3
    assert distance(latents(), plain) == 0


def test_the_hosts_colour_correction_applies_to_every_frame(host):
    plain, corrected = animate(host), animate(host, override_settings={"img2img_color_correction": True})
    assert len(corrected["images"]) == 4
    assert all(a != b for a, b in zip(plain["images"], corrected["images"]))


def test_color_match_brings_the_condition_frame_to_the_pictures_colours(host):
    wanted = np.asarray(picture()).astype(float).mean((0, 1))
    plain, matched = frames(animate(host)), frames(animate(host, {"color_match": 1.0}))
    assert np.abs(matched[0].mean((0, 1)) - wanted).max() < np.abs(plain[0].mean((0, 1)) - wanted).max()
    assert np.abs(matched[0].mean((0, 1)) - wanted).max() < 12


def test_prompts_drawn_per_picture_by_an_extension_are_one_per_clip(host, latents):
    watcher = Watcher(host)

    def draw(p):
        p.all_prompts[:] = [f"{prompt} {index}" for index, prompt in enumerate(p.all_prompts)]

    watcher.hooks["process"] = draw
    with host.script(watcher):
        drawn = latents()
    assert distance(drawn, latents(prompt="a cat 0")) == 0


def test_start_from_image_keeps_more_of_the_picture(host):
    start = np.asarray(picture()).astype(float)

    def change(settings, strength):
        clip = frames(animate(host, settings, denoising_strength=strength, steps=4))
        return np.abs(clip - start).mean()

    little, much = change({"start_from": "image"}, 0.2), change({"start_from": "image"}, 0.9)
    assert little < much
    assert change({}, 0.2) == change({}, 0.9)               # from noise, the strength is not used


def test_the_condition_frame_is_where_the_setting_says(host):
    a, b = animate(host, {"condition_frame": -1}), animate(host, {"condition_frame": 3})
    assert [pixels(x) for x in a["images"]] == [pixels(x) for x in b["images"]]
    assert a["info"]["pia"][0]["affinity"][-1] == 1.0
