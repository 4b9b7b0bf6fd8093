"""Affinity tables, loops and curves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_pia.affinity import TABLES, affinity_scores, frame_index, resample_curve
from lib_pia.errors import SettingsError

FRAMES = st.integers(2, 32)
PRESETS = [(motion, magnitude) for motion in TABLES for magnitude in TABLES[motion]]

# Computed by open-mmlab/PIA's own `prepare_mask_coef_by_statistics`: (frames, condition frame) -> the first values; the
# last one repeats
UPSTREAM = {
    ("animate", "small"): {
        (8, 0): (1.0, 0.9, 0.85, 0.85, 0.85, 0.8),
        (16, 5): (0.8, 0.85, 0.85, 0.85, 0.9, 1.0, 0.9, 0.85, 0.85, 0.85, 0.8),
    },
    ("animate", "moderate"): {
        (32, 0): (1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75),
        (24, 5): (0.78, 0.79, 0.8, 0.8, 0.8, 1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75),
    },
    ("animate", "large"): {
        (8, 0): (1.0, 0.8, 0.7),
        (24, 0): (1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5),
        (16, 5): (0.7, 0.7, 0.7, 0.7, 0.8, 1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6),
    },
    ("style_transfer", "small"): {
        (16, 0): (0.5, 0.4, 0.4, 0.4, 0.35, 0.3),
        (8, 5): (0.3, 0.35, 0.4, 0.4, 0.4, 0.5, 0.4, 0.4),
    },
    ("style_transfer", "moderate"): {
        (8, 0): (0.5, 0.4, 0.4, 0.4, 0.35, 0.35, 0.3, 0.25),
        (16, 5): (0.35, 0.35, 0.4, 0.4, 0.4, 0.5, 0.4, 0.4, 0.4, 0.35, 0.35, 0.3, 0.25, 0.2),
    },
    ("style_transfer", "large"): {(32, 0): (0.5, 0.2), (8, 5): (0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.2, 0.2)},
    ("loop", "small"): {(16, 0): (1.0, 0.9, 0.85, 0.85, 0.85, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.85, 0.85, 0.9, 1.0)},
    ("loop", "moderate"): {
        (16, 0): (1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75, 0.75, 0.75, 0.75, 0.75, 0.78, 0.79, 0.8, 0.8, 1.0)
    },
    ("loop", "large"): {(16, 0): (1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.8, 1.0)},
}


@pytest.mark.parametrize(
    ("motion", "magnitude", "frames", "condition", "values"),
    [(*preset, *clip, values) for preset, clips in UPSTREAM.items() for clip, values in clips.items()],
)
def test_presets_are_upstreams_numbers(motion, magnitude, frames, condition, values):
    wanted = (values + values[-1:] * frames)[:frames]
    assert torch.equal(affinity_scores(frames, condition, motion, magnitude), torch.tensor(wanted))


def test_every_preset_has_a_golden():
    assert set(UPSTREAM) == set(PRESETS)


@given(FRAMES, st.sampled_from(PRESETS), st.data())
@settings(deadline=None, max_examples=50)
def test_scores_lie_in_range_and_peak_at_the_condition_frame(frames, preset, data):
    condition = data.draw(st.integers(-frames, frames - 1))
    scores = affinity_scores(frames, condition, *preset)
    assert scores.shape == (frames,) and scores.dtype == torch.float32
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores[condition] == scores.max() == (0.5 if preset[0] == "style_transfer" else 1.0)


@given(
    FRAMES, st.sampled_from(["animate", "style_transfer"]), st.sampled_from(["small", "moderate", "large"]), st.data()
)
@settings(deadline=None, max_examples=50)
def test_affinity_never_rises_with_the_distance(frames, motion, magnitude, data):
    condition = data.draw(st.integers(0, frames - 1))
    scores = affinity_scores(frames, condition, motion, magnitude)
    assert (scores[condition:].diff() <= 0).all() and (scores[: condition + 1].diff() >= 0).all()


@given(st.integers(16, 32), st.sampled_from(list(TABLES)), st.data())
@settings(deadline=None, max_examples=50)
def test_larger_magnitudes_move_more(frames, motion, data):
    condition = data.draw(
        st.integers(0, frames - 1)
    )  # over a whole clip: style transfer's tables cross in the first frames
    small, moderate, large = (affinity_scores(frames, condition, motion, m) for m in ("small", "moderate", "large"))
    assert small.mean() >= moderate.mean() >= large.mean()
    if motion == "animate":
        assert (small >= moderate).all() and (moderate.sum() >= large.sum())


@pytest.mark.parametrize("magnitude", ["small", "moderate", "large"])
@pytest.mark.parametrize("frames", range(2, 33))
def test_loops_close_at_every_length_and_condition_frame(frames, magnitude):
    ends = affinity_scores(frames, 0, "loop", magnitude)
    assert ends[0] == ends[-1] == 1.0
    for condition in range(frames):
        scores = affinity_scores(frames, condition, "loop", magnitude)
        assert scores[condition] == 1.0 and scores[condition - 1] == 1.0
        assert torch.equal(scores.roll(-condition), ends)  # played round and round, it is the same loop
        if frames > 4:
            assert (scores == 1).sum() == 2 and scores.min() < 0.95  # and it does not stand still


def test_loops_keep_their_depth_when_they_are_longer_than_the_table():
    for frames in (17, 24, 32):
        scores = affinity_scores(frames, 0, "loop", "large")
        assert scores.min() == pytest.approx(0.5, abs=0.05)
        assert torch.allclose(scores, scores.flip(0), atol=1e-6)


@given(FRAMES, st.sampled_from(PRESETS), st.data())
@settings(deadline=None, max_examples=50)
def test_negative_condition_frames_count_from_the_end(frames, preset, data):
    condition = data.draw(st.integers(1, frames))
    assert torch.equal(
        affinity_scores(frames, -condition, *preset), affinity_scores(frames, frames - condition, *preset)
    )


POINTS = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=40)


@given(FRAMES, POINTS)
@settings(deadline=None, max_examples=50)
def test_curves_pass_through_their_ends_and_stay_between_their_points(frames, points):
    curve = resample_curve(points, frames)
    assert curve.shape == (frames,) and curve.dtype == torch.float32
    assert curve[0] == points[0] and curve[-1] == points[-1]
    assert min(points) <= curve.min() and curve.max() <= max(points)


@given(POINTS)
@settings(deadline=None, max_examples=50)
def test_as_many_numbers_as_frames_are_used_as_they_are(points):
    assert resample_curve(points, len(points)).tolist() == points


@given(st.integers(2, 6), st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=50)
def test_curves_hit_every_point_when_the_frames_fall_on_them(points, between, data):
    values = data.draw(st.lists(st.floats(0, 1, width=32), min_size=points, max_size=points))
    curve = resample_curve(values, (points - 1) * between + 1)
    assert torch.allclose(curve[::between], torch.tensor(values), atol=1e-6)


def test_curves_are_straight_between_their_points():
    assert resample_curve([1.0, 0.5], 5).tolist() == pytest.approx([1.0, 0.875, 0.75, 0.625, 0.5])
    assert resample_curve([1.0, 0.0, 1.0], 4).tolist() == pytest.approx([1.0, 1 / 3, 1 / 3, 1.0], abs=1e-6)
    assert resample_curve([0.25, 0.75], 1).tolist() == [0.25]


@given(FRAMES, st.data())
@settings(deadline=None, max_examples=30)
def test_a_curve_is_used_as_written_whatever_the_motion_and_condition_frame(frames, data):
    condition = data.draw(st.integers(-frames, frames - 1))
    plain = resample_curve([0.2, 1.0, 0.4], frames)
    for motion in ("custom", "animate", "loop"):
        assert torch.equal(affinity_scores(frames, condition, motion, "large", curve=[0.2, 1.0, 0.4]), plain)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(motion="shake"), ["'shake'", "animate, loop, style_transfer, custom"]),
        (dict(magnitude="huge"), ["'huge'", "small, moderate, large"]),
        (dict(motion="custom"), ["affinity is empty"]),
        (dict(condition_frame=16), ["16", "-16 to 15"]),
        (dict(condition_frame=-17), ["-17", "-16 to 15"]),
        (dict(curve=[0.5]), ["1 numbers", "2 or more"]),
        (dict(curve=[]), ["0 numbers", "2 or more"]),
        (dict(curve=[0.5, 1.01]), ["1.01", "from 0"]),
        (dict(curve=[0.5, -0.1]), ["-0.1", "from 0"]),
        (dict(curve=[0.5, math.nan]), ["nan", "from 0"]),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(kwargs, words):
    with pytest.raises(SettingsError) as error:
        affinity_scores(16, **kwargs)
    assert all(word in error.value.detail for word in words)


def test_a_clip_without_frames_is_refused():
    with pytest.raises(SettingsError, match="at least 1 frame"):
        affinity_scores(0)


def test_frame_index_counts_from_both_ends():
    assert [frame_index(i, 4) for i in (-4, -1, 0, 3)] == [0, 3, 0, 3]
