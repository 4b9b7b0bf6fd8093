"""The host's other features run with a clip."""

from __future__ import annotations

import numpy as np

from .clips import BASE, animate, distance, latents, unpacked
from .pictures import frames, picture, pixels


def test_lora_changes_the_clip_and_is_gone_afterwards(host, unharmed):
    plain = latents(host)
    assert distance(latents(host, prompt="a red star <lora:miniature_outline:1>"), plain) > 1e-2
    assert distance(latents(host), plain) == 0


def test_lora_is_the_same_in_a_clip_as_in_a_picture(host):
    """Its strength counts: half of it lies between none and all."""
    none, half, whole = (latents(host, prompt=f"a red star <lora:miniature_outline:{k}>") for k in (0, 0.5, 1))
    assert 0 < distance(half, none) < distance(whole, none)


def test_clip_skip_and_tiling_change_the_clip(host):
    plain = latents(host)
    assert distance(latents(host, override_settings={"CLIP_stop_at_last_layers": 2}), plain) > 1e-3
    assert distance(latents(host, tiling=True), plain) > 1e-3
    assert distance(latents(host), plain) == 0


def test_the_hosts_colour_correction_applies_to_every_frame(host):
    plain, corrected = animate(host), animate(host, override_settings={"img2img_color_correction": True})
    assert len(corrected["images"]) == 4
    assert all(a != b for a, b in zip(plain["images"], corrected["images"]))


def test_color_match_brings_the_condition_frame_to_the_pictures_colours(host):
    wanted = np.asarray(picture()).astype(float).mean((0, 1))
    plain, matched = frames(animate(host)), frames(animate(host, {"color_match": 1.0}))
    off = [np.abs(clip[0].mean((0, 1)) - wanted).max() for clip in (plain, matched)]
    assert off[1] < off[0] and off[1] < 20


def test_fast_is_near_the_whole_clip_and_is_gone_afterwards(host, unharmed):
    whole, fast = (latents(host, {"fast": fast}, steps=8) for fast in (0, 2))
    assert 0 < distance(fast, whole) < distance(latents(host, steps=8, seed=2), whole) / 2
    assert distance(latents(host, {"fast": 2}, steps=8), fast) == 0


def test_prompts_drawn_per_picture_by_an_extension_are_one_per_clip(host):
    animate(host, None, {"latents": True, "neighbours": ["prompts"]})
    drawn = unpacked(host.probed()["latents"][-1])
    assert distance(drawn, latents(host, prompt=f"{BASE['prompt']} 0")) == 0


def test_start_from_image_keeps_more_of_the_picture(host):
    start = np.asarray(picture()).astype(float)

    def change(settings, strength):
        return np.abs(frames(animate(host, settings, denoising_strength=strength, steps=4)) - start).mean()

    assert change({"start_from": "image"}, 0.2) < change({"start_from": "image"}, 0.9)
    assert change({}, 0.2) == change({}, 0.9)  # from noise, the strength is not used


def test_the_condition_frame_is_where_the_setting_says(host):
    a, b = animate(host, {"condition_frame": -1}), animate(host, {"condition_frame": 3})
    assert [pixels(x) for x in a["images"]] == [pixels(x) for x in b["images"]]
    assert a["info"]["pia"][0]["affinity"][-1] == 1.0
