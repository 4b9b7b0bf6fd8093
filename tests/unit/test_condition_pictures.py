"""Several pictures in one condition, and an affinity that differs over the picture."""

import pytest
import torch

from lib_pia.condition import FADE, brush_affinity, build_condition, fade_pictures
from lib_pia.errors import SettingsError

A, B, C = (torch.full((1, 4, 2, 2), value) for value in (0.0, 1.0, 3.0))


def test_every_frame_has_the_nearest_pictures_latent_and_fades_in_between():
    out = fade_pictures([0, 8, 15], [A, B, C], 16)[:, 0, 0, 0]
    assert out[0] == out[1] == 0 and out[8] == out[7] == 1 and out[15] == 3
    assert out[4] == pytest.approx(0.5) and (out.diff() >= 0).all()
    assert ((out > 0) & (out < 1)).sum() == FADE - 1


def test_frames_that_are_pictures_have_their_own_latent_however_near_they_are():
    out = fade_pictures([0, 3, 4], [A, B, C], 5)[:, 0, 0, 0]
    assert (out[0], out[3], out[4]) == (0, 1, 3)


def test_one_picture_is_the_same_everywhere():
    assert torch.equal(fade_pictures([3], [B], 5), B.expand(5, -1, -1, -1))


def test_the_condition_takes_a_latent_per_frame():
    latents = torch.randn(3, 4, 2, 2)
    condition = build_condition(latents, torch.tensor([1.0, 0.5, 0.2]))
    assert torch.equal(condition[:, 1:], latents) and condition[1, 0].unique().tolist() == [0.5]
    with pytest.raises(SettingsError, match="There are 3 condition latents for 4 frames; give one, or one per frame."):
        build_condition(latents, torch.ones(4))


def test_the_brush_frees_only_what_it_covers():
    brush = torch.tensor([[0.0, 0.5], [1.0, 1.0]])[None, None]
    out = brush_affinity(torch.tensor([1.0, 0.2]), brush)
    assert out[0].unique().tolist() == [1.0]
    assert out[1, 0].flatten().tolist() == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert build_condition(torch.zeros(1, 4, 2, 2), out).shape == (2, 5, 2, 2)
