"""Prompts that name frames."""

from __future__ import annotations

import numpy as np
import pytest

from .clips import animate, animate_text, distance, latents

CHAIN = {"num_frames": 14, "window": 8, "overlap": 2}  # windows at 0 and 6; frame 7 is made again by the second
RED, BLUE = "a red star", "a blue disc"
BOTH = pytest.mark.parametrize("how", [animate, animate_text], ids=["img2img", "txt2img"])


@BOTH
def test_a_window_hears_the_texts_of_its_own_frames(host, how):
    """The first window as if the whole clip were the first text's, the second one not; two equal texts are one."""
    red = latents(host, CHAIN, how, prompt=RED)
    travelling = latents(host, CHAIN, how, prompt=f"13: {BLUE}\n0: {RED}\n7: {RED}")
    assert np.array_equal(travelling[:7], red[:7]) and distance(travelling[8:], red[8:]) > 1e-3
    assert np.array_equal(latents(host, CHAIN, how, prompt=f'"0": "{RED}", "9": "{RED}"'), red)


def test_head_tail_and_negative_prompt(host):
    plain = latents(host, prompt="star, red, flat", negative_prompt="dark, blurry")
    travelling = latents(host, prompt="star\n0: red\n3: red\n\nflat", negative_prompt="0: dark\n2: dark\nblurry")
    assert np.array_equal(travelling, plain)


@pytest.mark.parametrize(
    "prompt",
    [f"0: {RED}\n3: {BLUE}", f"0: {RED} AND sea :0.5\n3: {BLUE}", f"0: [{RED}:{BLUE}:0.5]\n3: {'a sun, ' * 40}"],
    ids=["plain", "AND", "edited and long"],
)
def test_one_call_or_many(host, prompt):
    together = latents(host, prompt=prompt)
    apart = latents(host, prompt=prompt, override_settings={"batch_cond_uncond": False})
    assert distance(apart, together) < 2e-5 and distance(latents(host, prompt=RED), together) > 1e-3


def test_the_infotext_has_the_typed_prompt(host):
    prompt = f"flat\n0: {RED}\n3: {BLUE}\n\nsea"
    info = animate(host, prompt=prompt, batch_size=2)["info"]
    assert set(info["all_prompts"]) == {prompt}
    assert all(text.startswith(f"{prompt}\nNegative prompt: blurry\n") for text in info["infotexts"])


@BOTH
def test_frames_that_are_not_there(refused, how):
    refused("The prompt has a text for frame 4, but the clip has 4 frames; name", None, how, prompt="0: a\n4: b")
    refused("The negative prompt has two texts for frame 0", None, how, negative_prompt="0: a\n0: b")
