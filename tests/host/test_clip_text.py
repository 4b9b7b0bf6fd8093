"""txt2img: the still picture is the host's own, and its latent is animated."""

from __future__ import annotations

import pytest

from tests.host.clips import animate_text, distance, pixels, still
from tests.scenarios.clips import HIRES, STILLS


@pytest.fixture
def stills(host, monkeypatch):
    """Stills that the session made: (pixels, latent)."""
    from lib_pia.host.generation import clip as sampling

    made, original = [], sampling.make_still

    def watched(p, *args):
        result = original(p, *args)
        made.append((result.picture(p.sd_model).tobytes(), result.latent))
        return result

    monkeypatch.setattr(sampling, "make_still", watched)
    return made


@pytest.mark.parametrize("request_", STILLS.values(), ids=STILLS)
def test_the_still_is_bit_for_bit_the_hosts(host, stills, request_):
    ordinary = still(host, **request_)
    animate_text(host, seed=5, **request_)
    assert stills[0][0] == ordinary
    assert still(host, **request_) == ordinary


def test_every_clips_still_is_the_picture_of_its_seed(host, stills):
    animate_text(host, {"num_frames": 3}, seed=5, n_iter=2)
    assert [pixels_ for pixels_, _ in stills] == [still(host, seed=5), still(host, seed=8)]


def test_the_stills_latent_is_the_condition(host, stills, monkeypatch):
    from lib_pia.host.generation import direction as sampling

    seen, original = [], sampling.build_condition
    monkeypatch.setattr(
        sampling, "build_condition", lambda latent, affinity: seen.append(latent) or original(latent, affinity)
    )
    animate_text(host, **HIRES, hr_upscaler="Latent")
    assert seen[0].shape == (1, 4, 16, 16) and distance(seen[0], stills[0][1]) == 0


def test_interrupted_before_the_animation_every_frame_is_the_still(host, monkeypatch):
    from lib_pia.host.generation import clip as sampling

    original = sampling.make_still

    def interrupted(*args):
        made = original(*args)
        host.shared.state.interrupt()
        return made

    monkeypatch.setattr(sampling, "make_still", interrupted)
    answer = animate_text(host, seed=5)
    assert [pixels(text) for text in answer["images"]] == [still(host, seed=5)] * 4
