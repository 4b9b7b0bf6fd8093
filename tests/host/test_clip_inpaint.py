"""Scenario 6: inpainting. What is not masked is the input, in every frame."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.host.clips import Watcher, animate, animate_text, distance, frames, picture

INPUT = np.asarray(picture()).astype(int)
MASK = Image.new("L", (64, 64), 0)
MASK.paste(255, (16, 16, 48, 48))
MASKED = np.asarray(MASK) > 0


def inpaint(host, settings=None, **request):
    return frames(animate(host, settings, mask=host.base64(MASK), mask_blur=0, **{"inpainting_fill": 1, **request}))


def check(clip):
    difference = np.abs(clip - INPUT).max(-1)
    assert difference[:, ~MASKED].max() == 0
    assert all(frame[MASKED].mean() > 5 for frame in difference)


@pytest.mark.parametrize("request_", [{"inpaint_full_res": False}, {"inpaint_full_res": True, "inpaint_full_res_padding": 8},
                                      {"inpaint_full_res": False, "inpainting_fill": 2}],
                         ids=["whole picture", "only masked", "latent noise"])
def test_unmasked_pixels_are_the_input(host, request_):
    check(inpaint(host, **request_))


@pytest.mark.parametrize("settings", [{"start_from": "image"}, {"color_match": 1.0}], ids=["from the image", "colours matched"])
def test_settings_of_the_clip_leave_unmasked_pixels_alone(host, settings):
    check(inpaint(host, settings, inpaint_full_res=False))


def test_inpainting_checkpoint(host, models):
    override = {"override_settings": {"sd_model_checkpoint": models.inpainting()}}
    check(inpaint(host, inpaint_full_res=False, **override))
    assert len(frames(animate(host, **override))) == 4
    assert len(frames(animate_text(host, **override))) == 4


def test_the_masks_latent_noise_does_not_enter_the_condition(host):
    """The condition latent is the encoded picture, whatever the host puts under the mask afterwards."""
    from lib_pia.host.generation import direction as sampling

    seen, original = [], sampling.build_condition

    def watch(latent, affinity):
        seen.append(latent.clone())
        return original(latent, affinity)

    sampling.build_condition = watch
    try:
        for fill in (0, 2, 3):                                  # all three blur the picture under the mask before it is encoded
            inpaint(host, inpaint_full_res=False, inpainting_fill=fill, steps=1)
    finally:
        sampling.build_condition = original
    assert distance(seen[1], seen[0]) == 0 and distance(seen[2], seen[0]) == 0


def test_one_encode_per_clip(host):
    calls, encode = [], host.shared.sd_model.first_stage_model.encode
    host.shared.sd_model.first_stage_model.encode = lambda x: calls.append(len(x)) or encode(x)
    try:
        animate(host, {"num_frames": 8}, n_iter=2, steps=1)
    finally:
        del host.shared.sd_model.first_stage_model.encode
    assert calls == [1]


def test_the_mask_reaches_the_sampler(host):
    watcher = Watcher(host)
    with host.script(watcher):
        inpaint(host, inpaint_full_res=False)
        animate(host)
    unmasked = torch.from_numpy(~MASKED[::8, ::8])
    masked_run, free_run = watcher.latents
    assert (masked_run - masked_run[:1])[..., unmasked].abs().max() == 0        # every frame keeps the input's latent
    assert (free_run - free_run[:1])[..., unmasked].abs().max() > 0.1
