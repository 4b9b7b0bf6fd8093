"""Colour match: the same mapping for every frame, found at the condition frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_pia.color import GAINS, match_colors
from lib_pia.errors import MediaError, SettingsError


def pictures(seed: int, count: int = 4, low: int = 60, high: int = 190, size: int = 24) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    return [Image.fromarray(random.integers(low, high, (size, size, 3), dtype=np.uint8)) for _ in range(count)]


def values(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(float)


def shifted(picture: Image.Image, gain, offset) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values(picture) * gain + offset), 0, 255).astype(np.uint8))


def test_strength_0_gives_the_very_frames_back():
    frames = pictures(0)
    out = match_colors(frames, pictures(1)[0], 0, 0.0)
    assert all(a is b for a, b in zip(out, frames)) and len(out) == len(frames) and out is not frames


@given(
    st.integers(0, 1000),
    st.integers(-4, 3),
    st.tuples(*[st.floats(0.7, 1.3)] * 3),
    st.tuples(*[st.floats(-25, 25)] * 3),
)
@settings(max_examples=30, deadline=None)
def test_a_colour_shift_of_the_whole_clip_is_undone(seed, condition, gain, offset):
    true = pictures(seed, low=80, high=170)
    drifted = [shifted(frame, np.array(gain), np.array(offset)) for frame in true]
    restored = match_colors(drifted, true[condition], condition, 1.0)
    for a, b in zip(restored, true):
        assert np.abs(values(a) - values(b)).max() <= 2  # levels lost by rounding twice


def test_the_condition_frame_takes_the_pictures_mean_and_deviation():
    frames, picture = pictures(2, low=80, high=150), pictures(3, 1, low=60, high=180)[0]
    matched = values(match_colors(frames, picture, 2, 1.0)[2])
    assert matched.mean((0, 1)) == pytest.approx(values(picture).mean((0, 1)), abs=0.5)
    assert matched.std((0, 1)) == pytest.approx(values(picture).std((0, 1)), abs=0.5)


def test_every_frame_is_mapped_alike():
    """The levels 0..255 in every frame, in another order each: they must all go the same way."""
    random = np.random.default_rng(4)
    frames = [
        Image.fromarray(np.stack([random.permutation(256).reshape(16, 16)] * 3, -1).astype(np.uint8)) for _ in range(5)
    ]
    out = match_colors(frames, pictures(5, 1)[0], 1, 0.7)
    tables = [
        {
            (c, level): new
            for c in range(3)
            for level, new in zip(np.asarray(a)[..., c].ravel(), np.asarray(b)[..., c].ravel())
        }
        for a, b in zip(frames, out)
    ]
    assert all(table == tables[0] for table in tables)


def test_half_the_strength_is_half_the_way():
    frames = pictures(6)
    picture = shifted(frames[0], np.array([1.0, 1.0, 1.0]), np.array([20.0, -10.0, 0.0]))
    half = match_colors(frames, picture, 0, 0.5)
    assert (values(half[3]) - values(frames[3])).mean((0, 1)) == pytest.approx([10, -5, 0], abs=0.6)


def test_a_picture_that_already_matches_changes_nothing():
    frames = pictures(7)
    out = match_colors(frames, frames[1], 1, 1.0)
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(out, frames))


def test_flat_channels_are_moved_but_not_stretched():
    flat = [Image.new("RGB", (8, 8), (100, 50, 0))] * 2
    out = match_colors(flat, pictures(8, 1)[0], 0, 1.0)
    wanted = values(pictures(8, 1)[0]).mean((0, 1))
    assert np.ptp(values(out[0]), axis=(0, 1)).tolist() == [0, 0, 0]
    assert values(out[0])[0, 0] == pytest.approx(wanted, abs=0.5)


def test_almost_flat_frames_do_not_become_noise():
    frames = pictures(9, low=118, high=123)
    spread = values(match_colors(frames, pictures(10, 1, 0, 255)[0], 0, 1.0)[0]).std((0, 1))
    assert (spread <= GAINS[1] * values(frames[0]).std((0, 1)) + 0.5).all()


def test_a_flat_picture_does_not_wipe_the_clip_out():
    frames = pictures(11)
    out = match_colors(frames, Image.new("RGB", (9, 5), (90, 90, 90)), 0, 1.0)
    assert (values(out[0]).std((0, 1)) > 0.9 * values(frames[0]).std((0, 1))).all()


def test_frames_and_picture_may_have_other_modes_and_sizes():
    frames = [frame.convert("RGBA") for frame in pictures(12)]
    out = match_colors(frames, pictures(13, 1, size=50)[0].convert("L"), 0, 1.0)
    assert all(frame.mode == "RGB" and frame.size == (24, 24) for frame in out)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(SettingsError, match="from 0 to 1"):
        match_colors(pictures(0), pictures(0)[0], 0, strength)


def test_a_condition_frame_outside_the_clip_is_refused():
    with pytest.raises(SettingsError, match="from -4 to 3"):
        match_colors(pictures(0), pictures(0)[0], 4, 0.0)


def test_frames_of_several_sizes_are_refused():
    with pytest.raises(MediaError, match="same size"):
        match_colors([*pictures(0), *pictures(0, 1, size=9)], pictures(0)[0], 0, 1.0)
