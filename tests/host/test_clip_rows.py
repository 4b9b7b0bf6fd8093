"""Scenario 5: however the host cuts its rows into calls of the UNet, the clip is the one computed with all frames together."""
from __future__ import annotations

import pytest

from tests.host.clips import Watcher, animate, distance

SAME = 2e-5                     # fp32: the same numbers in calls of other sizes
LONG = "a cat, " * 40           # 120 tokens: two chunks of text against one


@pytest.fixture
def latents(host):
    """latents(**request) -> the clip's latents."""
    watcher = Watcher(host)

    def run(settings=None, **request):
        override = request.pop("options", {})
        animate(host, settings, **request, **({"override_settings": override} if override else {}))
        return watcher.latents[-1]

    with host.script(watcher):
        yield run


@pytest.mark.parametrize("request_", [{}, {"prompt": LONG}, {"prompt": "a cat :0.7 AND a red dog :0.5"},
                                      {"prompt": f"a cat :0.7 AND {LONG} :0.5", "sampler_name": "DDIM"}],
                         ids=["plain", "long prompt", "AND", "AND, one part long, DDIM"])
def test_one_call_or_many(latents, request_):
    together = latents(**request_)
    apart = latents(**request_, options={"batch_cond_uncond": False})
    assert distance(apart, together) < SAME


@pytest.mark.parametrize("request_", [{}, {"sampler_name": "DDIM", "steps": 3}, {"s_min_uncond": 8.0, "steps": 4},
                                      {"options": {"skip_early_cond": 0.6}, "steps": 3}],
                         ids=["Euler", "DDIM", "NGMS", "skip early CFG"])
def test_a_prompt_in_two_equal_halves_is_the_prompt(latents, request_):
    assert distance(latents(prompt="a cat :0.5 AND a cat :0.5", **request_), latents(prompt="a cat", **request_)) < SAME


def test_parts_of_a_prompt_count_by_their_weights(latents):
    cat, both = latents(prompt="a cat"), latents(prompt="a cat :0.7 AND a red dog :0.5")
    other_way = latents(prompt="a red dog :0.5 AND a cat :0.7")
    assert distance(both, cat) > 1e-2 and distance(other_way, both) < SAME


def test_cfg_1_is_the_positive_prompt_alone(latents):
    alone = latents(cfg_scale=1.0, options={"skip_early_cond": 1.0})
    assert distance(latents(cfg_scale=1.0), alone) < SAME
    assert distance(latents(cfg_scale=1.0, negative_prompt="something else"), alone) < SAME


def test_steps_without_negative_prompt_differ(latents):
    usual = latents(steps=4)
    assert distance(latents(steps=4, s_min_uncond=8.0), usual) > 1e-3
    assert distance(latents(steps=4, options={"skip_early_cond": 0.6}), usual) > 1e-3


def test_rows_that_cannot_be_sorted_are_an_error(host, monkeypatch):
    from demo.minihost import HostResponseError
    from lib_pia.host.generation import clip as sampling

    def broken(params, num_frames):
        raise KeyError("no such row")

    monkeypatch.setattr(sampling, "sort_by_part", broken)
    with pytest.raises(HostResponseError) as error:
        animate(host, prompt="a cat AND a dog")
    assert "The rows of a prompt with AND could not be sorted into clips" in error.value.body["detail"]
