"""Every sampler and every scheduler that the host lists makes a clip, with PIA's schedule, which is gone afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from lib_pia.schedule import linear_alphas_cumprod

from .cases import ONLY_REAL_SAMPLERS, SAMPLERS, SCHEDULERS
from .client import AnswerError
from .clips import animate, latents
from .pictures import frames

REAL = pytest.mark.real


def test_the_lists_are_the_hosts(host):
    listed = {one["name"] for one in host.get("/sdapi/v1/samplers")}
    assert listed <= set(SAMPLERS) and listed >= set(SAMPLERS) - set(ONLY_REAL_SAMPLERS)
    assert {one["label"] for one in host.get("/sdapi/v1/schedulers")} == set(SCHEDULERS)


def check(host, **request):
    found = latents(host, {"num_frames": 2}, **request)
    assert np.isfinite(found).all() and np.abs(found).max() < 500
    assert np.abs(found[0] - found[1]).max() > 0


@pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=[REAL] if name in ONLY_REAL_SAMPLERS else []) for name in SAMPLERS]
)
def test_samplers(host, sampler):
    check(host, sampler_name=sampler, steps=4)


@REAL
def test_a_sampler_that_takes_as_many_steps_as_it_likes_in_windows(host):
    """About a hundred a window, so that the WebUI alone is asked."""
    found = latents(host, {"num_frames": 9, "window": 8}, sampler_name="DPM adaptive", cfg_scale=1.0)
    assert len(found) == 9 and np.isfinite(found).all() and np.abs(found[8] - found[7]).max() > 1e-3


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(host, scheduler):
    check(host, sampler_name="DPM++ 2M", scheduler=scheduler, steps=3)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_from_the_image_too(host, sampler):
    assert np.isfinite(latents(host, {"start_from": "image"}, sampler_name=sampler, steps=3)).all()


def test_the_linear_schedule_reaches_the_sampler_and_is_gone_afterwards(host, unharmed):
    linear = linear_alphas_cumprod()
    first_sigma = float(((1 - linear[-1]) / linear[-1]) ** 0.5)
    animate(host, {"num_frames": 2}, {"record": True})
    events = host.probed()["events"]
    table = next(details["table"] for kind, details, *_ in events if kind == "sigmas")
    made = [details["alphas"] for kind, details, *_ in events if kind == "create_sampler"][-1]
    assert table[0] == pytest.approx(first_sigma, rel=1e-5)
    assert made["mean"] == pytest.approx(float(linear.mean()), rel=1e-4)


@REAL
def test_too_few_steps_for_unipc_is_the_hosts_own_message(host):
    with pytest.raises(AnswerError) as error:
        animate(host, {"num_frames": 2}, sampler_name="UniPC", steps=1)
    assert error.value.status == 500
    assert len(frames(animate(host, {"num_frames": 2}, steps=1))) == 2
