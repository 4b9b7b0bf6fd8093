"""The clips that PIA trains on: pool, percentiles, samples."""

import dataclasses

import pytest
import torch

from demo.miniature.clips import CONDITION_FRAMES, ClipPool, PoolSource, clip_pool
from demo.miniature.scenes import FRAMES
from demo.miniature.vae import AutoencoderKL


class Texts:
    """Encodes a text as its length."""

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([len(text) for text in texts]).float()[:, None, None].expand(-1, 77, 2)


@pytest.fixture(scope="module")
def pool() -> ClipPool:
    torch.manual_seed(0)
    return clip_pool(AutoencoderKL().eval(), seed=5, count=6)


def test_the_pool_keeps_distances_for_its_condition_frames(pool, tmp_path):
    assert pool.latents.shape == (6, FRAMES, 4, 8, 8)
    assert pool.distances.shape == (6, CONDITION_FRAMES, FRAMES)
    at_condition = pool.distances.gather(2, pool.condition_frames[..., None])
    assert at_condition.eq(0).all() and pool.distances.gt(0).any()
    pool.save(tmp_path / "clips.pt")
    again = ClipPool.load(tmp_path / "clips.pt")
    assert torch.equal(again.latents, pool.latents) and again.captions == pool.captions


def test_samples_hold_their_condition_frame_with_affinity_one(pool):
    numbered = torch.arange(6.0 * FRAMES).view(6, FRAMES, 1, 1, 1).expand_as(pool.latents)  # clip * 16 + frame
    batch = PoolSource(dataclasses.replace(pool, latents=numbered), Texts(), seed=1)(0, 12)
    assert batch.latents.shape == (12, FRAMES, 4, 8, 8) and batch.affinity.shape == (12, FRAMES)
    rows, numbers = torch.arange(12), batch.latents[..., 0, 0, 0]
    assert batch.affinity[rows, batch.condition_frame].eq(1).all()
    assert batch.affinity.min() < 1
    clips = numbers[:, 0].long() // FRAMES
    assert (pool.condition_frames[clips] == batch.condition_frame[:, None]).any(1).all()


@pytest.fixture(scope="module")
def fading() -> ClipPool:
    """Eight clips, some of which fade."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demo.miniature.clips.UNNAMED", 0.0)
        patch.setattr("demo.miniature.clips.FADING", 0.5)
        return clip_pool(AutoencoderKL().eval(), seed=5, count=8)


def test_clips_whose_look_fades_start_from_it_and_are_told_by_the_whole_caption(fading):
    fades = fading.settled > 0
    assert 0 < fades.sum() < 8 and not fading.condition_frames[fades].any()
    assert fading.condition_frames[~fades, 1:].all()
    numbered = torch.arange(8.0).view(8, 1, 1, 1, 1).expand_as(fading.latents)
    batch = PoolSource(dataclasses.replace(fading, latents=numbered), Texts(), seed=1)(0, 60)
    clips, texts = batch.latents[:, 0, 0, 0, 0].long(), batch.text[:, 0, 0].tolist()
    whole = [text == len(fading.captions[clip]) for clip, text in zip(clips, texts)]
    assert all(told for told, clip in zip(whole, clips) if fades[clip]) and not all(whole)


def test_a_look_that_fades_does_not_stretch_the_scale(fading):
    farther = torch.where((fading.settled > 0)[:, None, None], 1e6, fading.distances)
    assert dataclasses.replace(fading, distances=farther).scale() == fading.scale()
    assert fading.scale().percentiles[5][1] > 0


def test_a_sample_is_the_same_whatever_is_asked_for_with_it(pool):
    source = PoolSource(pool, Texts(), seed=1)
    many, one = source(0, 8), source(5, 1)
    assert torch.equal(many.latents[5], one.latents[0]) and torch.equal(many.affinity[5], one.affinity[0])
    assert not torch.equal(PoolSource(pool, Texts(), seed=2)(5, 1).latents, one.latents)


def test_some_texts_tell_the_motion_alone(pool):
    source = PoolSource(pool, Texts(), seed=1)
    lengths = {len(c) for c in pool.captions}
    short = {len(c.split(", ", 1)[-1]) for c in pool.captions}
    seen = source(0, 80).text[:, 0, 0].tolist()
    share = sum(length in short - lengths for length in seen) / len(seen)
    assert 0.1 < share < 0.45 and set(seen) <= short | lengths


def test_most_samples_start_from_the_first_frame(pool):
    first = (PoolSource(pool, Texts(), 5)(0, 100).condition_frame == 0).float().mean()
    assert 0.55 < first < 0.85  # FIRST, and one in four of the others


def test_pictures_are_single_frames_without_a_measure():
    pictures = clip_pool(AutoencoderKL().eval(), 5, 3, "outline", distances=False)
    assert pictures.latents.shape == (3, 1, 4, 8, 8) and not pictures.distances.any()
