"""However the host cuts its rows into calls of the UNet, the clip is the one computed with all frames together."""

from __future__ import annotations

import pytest

from .clips import distance, latents

SAME = 1e-4  # fp32: the same numbers in calls of other sizes
LONG = "a red star, " * 40  # two chunks of text against one


def apart(host, **request):
    return latents(host, override_settings={"batch_cond_uncond": False}, **request)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"prompt": LONG},
        {"prompt": "a red star :0.7 AND a blue disc :0.5"},
        {"prompt": f"a red star :0.7 AND {LONG} :0.5", "sampler_name": "DDIM"},
    ],
    ids=["plain", "long prompt", "AND", "AND, one part long, DDIM"],
)
def test_one_call_or_many(host, request_):
    assert distance(apart(host, **request_), latents(host, **request_)) < SAME


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"sampler_name": "DDIM", "steps": 3},
        {"s_min_uncond": 8.0, "steps": 4},
        {"override_settings": {"skip_early_cond": 0.6}, "steps": 3},
    ],
    ids=["Euler", "DDIM", "NGMS", "skip early CFG"],
)
def test_a_prompt_in_two_equal_halves_is_the_prompt(host, request_):
    whole = latents(host, prompt="a red star", **request_)
    assert distance(latents(host, prompt="a red star :0.5 AND a red star :0.5", **request_), whole) < SAME


def test_parts_of_a_prompt_count_by_their_weights(host):
    star, both = latents(host), latents(host, prompt="a red star :0.7 AND a blue disc :0.5")
    other_way = latents(host, prompt="a blue disc :0.5 AND a red star :0.7")
    assert distance(both, star) > 1e-2 and distance(other_way, both) < SAME


def test_cfg_1_is_the_positive_prompt_alone(host):
    alone = latents(host, cfg_scale=1.0, override_settings={"skip_early_cond": 1.0})
    assert distance(latents(host, cfg_scale=1.0), alone) < SAME
    assert distance(latents(host, cfg_scale=1.0, negative_prompt="something else"), alone) < SAME


def test_steps_without_negative_prompt_differ(host):
    plain = latents(host, steps=4)
    assert distance(latents(host, steps=4, s_min_uncond=8.0), plain) > 1e-3
    assert distance(latents(host, steps=4, override_settings={"skip_early_cond": 0.6}), plain) > 1e-3


def test_the_rows_are_whole_clips(host):
    """Every call holds all frames of one text, one text after the other."""
    from .clips import animate
    from .record import rows_of

    animate(host, {"num_frames": 3}, {"record": True}, prompt="a red star AND a blue disc :0.5")
    assert [call[:2] for call in rows_of(host.probed()["events"])] == [["abcabcabc", "aaabbbccc"]] * 2
