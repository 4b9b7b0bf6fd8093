"""Scenario 11: every sampler and every scheduler of the host makes a finite clip, with PIA's schedule, which is gone afterwards."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from lib_pia.schedule import linear_alphas_cumprod
from tests.host.clips import Watcher, animate, distance, frames

SAMPLERS = ("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 2S a", "DPM++ 3M SDE", "Euler a", "Euler", "LMS", "Heun", "DPM2",
            "DPM2 a", "DPM fast", "DPM adaptive", "DDIM")
SCHEDULERS = ("Automatic", "Uniform", "Karras", "Exponential", "Polyexponential", "SGM Uniform", "KL Optimal", "Align Your Steps", "Simple",
              "Normal", "DDIM", "Beta")


def check(host, **request):
    watcher = Watcher(host)
    with host.script(watcher):
        clip = frames(animate(host, {"num_frames": 2}, **request))
    assert torch.isfinite(watcher.latents[0]).all()
    assert np.abs(clip[0] - clip[1]).max() > 0


def test_the_lists_are_the_hosts():
    from modules import sd_samplers, sd_schedulers

    assert set(SAMPLERS) == set(sd_samplers.all_samplers_map)
    assert set(SCHEDULERS) == {scheduler.label for scheduler in sd_schedulers.schedulers}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers(host, sampler):
    check(host, sampler_name=sampler, steps=4)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(host, scheduler):
    check(host, sampler_name="DPM++ 2M", scheduler=scheduler, steps=3)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_from_the_image_too(host, sampler):
    watcher = Watcher(host)
    with host.script(watcher):
        animate(host, {"start_from": "image"}, sampler_name=sampler, steps=3)
    assert torch.isfinite(watcher.latents[0]).all()


def test_the_linear_schedule_reaches_the_sampler_and_is_gone_afterwards(host):
    model = host.shared.sd_model
    own, seen = model.alphas_cumprod.clone(), []
    linear = linear_alphas_cumprod()
    first_sigma = float(((1 - linear[-1]) / linear[-1]) ** 0.5)

    def watch(module, args):
        seen.append((model.alphas_cumprod.clone(), float(sampler().model_wrap.sigmas[-1])))

    def sampler():
        import gc

        from modules.sd_samplers_kdiffusion import KDiffusionSampler

        return [o for o in gc.get_objects() if type(o) is KDiffusionSampler and o.p is not None][-1]

    with model.model.diffusion_model.register_forward_pre_hook(watch):
        animate(host, {"num_frames": 2}, steps=1)
    assert torch.equal(seen[0][0], linear) and seen[0][1] == pytest.approx(first_sigma, rel=1e-5)
    assert torch.equal(model.alphas_cumprod, own) and model.alphas_cumprod_original is not None and distance(own, linear) > 1e-2
