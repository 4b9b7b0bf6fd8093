"""txt2img: the still picture is the host's own, and its latent is animated."""

from __future__ import annotations

import numpy as np
import pytest

from .clips import HIRES, STILLS, animate_text, still
from .pictures import frames, opened, pixels


@pytest.mark.parametrize("request_", STILLS.values(), ids=STILLS)
def test_the_still_is_bit_for_bit_the_hosts(host, request_):
    """Interrupted when the still is done: every frame is the still, and that is the picture without PIA."""
    ordinary = still(host, **request_)
    animate_text(host, None, {"record": True}, seed=5, **request_)
    calls = [kind for kind, *_ in host.probed()["events"] if kind in ("unet", "sample done")]
    last = calls.index("sample done") if "sample done" in calls else 0
    answer = animate_text(
        host,
        None,
        {"fault": {"point": "unet", "call": calls[:last].count("unet"), "error": "interrupt"}},
        seed=5,
        **request_,
    )
    shown = {pixels(text) for text in answer["images"]}
    assert len(shown) == 1
    assert still(host, **request_) == ordinary
    if "enable_hr" not in request_:
        assert shown == {ordinary}


def test_the_clip_has_the_size_of_the_hires_picture(host):
    answer = animate_text(host, {"num_frames": 2}, **HIRES, hr_upscaler="Latent")
    assert [opened(text).size for text in answer["images"]] == [(128, 128)] * 2
    assert (answer["info"]["pia"][0]["width"], answer["info"]["width"]) == (128, 64)


def test_the_condition_frame_is_nearest_to_the_still(host):
    steps = {"steps": 8, "cfg_scale": 2.0}
    ordinary = np.frombuffer(still(host, **steps), np.uint8).reshape(64, 64, 3).astype(int)
    clip = frames(animate_text(host, {"magnitude": "large"}, seed=5, **steps))
    other = np.frombuffer(still(host, **{**steps, "prompt": "a blue disc"}), np.uint8).reshape(64, 64, 3).astype(int)
    assert np.abs(clip[0] - ordinary).mean() < np.abs(clip[0] - other).mean()


def test_start_from_image_uses_the_denoising_strength(host):
    def clip(settings=None, **request):
        return [pixels(text) for text in animate_text(host, settings, steps=4, **request)["images"]]

    from_image = {"start_from": "image"}
    assert clip(from_image, denoising_strength=0.3) != clip(from_image, denoising_strength=0.9)
    assert clip(from_image, denoising_strength=0.0) == clip(from_image, denoising_strength=0.75)
    assert clip(denoising_strength=0.3) == clip(denoising_strength=0.9)
