"""Training's measure of a clip, against values that open-mmlab/PIA's own functions computed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_pia.affinity import WEBVID_PERCENTILES, affinity_of_clip, frame_distances, scaled_affinity
from lib_pia.affinity_measure import edge_kernel, edge_thresholds, edges, hsv, trained_view
from lib_pia.errors import MediaError, SettingsError
from lib_pia.video.frames import as_frames


def moving_clip(size: int, frames: int = 5) -> np.ndarray:
    """A disc and a bar that move over a slanted pattern; whole numbers only, [frames, size, size, 3] uint8."""
    y, x = np.mgrid[:size, :size]
    clip = []
    for t in range(frames):
        frame = np.stack(
            [(3 * x + 5 * t) % 211, (2 * y + x * x // size + 3 * t) % 241, (x * y // size + 7 * t) % 193], -1
        )
        frame[((x - size // 3 - 2 * t) ** 2 + (y - size // 2) ** 2) < (size // 5) ** 2] = (200, 40 + 10 * t, 90)
        frame[size // 8 + t : size // 3 + t, size // 2 : 7 * size // 8] = (30, 30, 250)
        clip.append(frame)
    return np.stack(clip).astype(np.uint8)


# dataset.py's `get_score` on `moving_clip(size)`, by condition frame
DISTANCES = {
    (48, 0): [0.0, 9.0263, 18.03188, 26.80804, 34.72824],
    (48, 3): [28.18608, 19.46922, 10.09249, 0.0, 9.77061],
    (256, 0): [0.0, 5.85719, 10.99376, 16.08049, 20.18178],
    (256, 3): [15.80434, 11.08426, 5.92861, 0.0, 6.39889],
}
# The same functions' number of edge pixels per frame
DILATED = {48: [598, 578, 559, 548, 531], 256: [7497, 7488, 7454, 7782, 7800]}


@pytest.mark.parametrize(("size", "condition"), DISTANCES)
def test_distances_are_trainings(size, condition):
    found = frame_distances(moving_clip(size), condition, size=None)
    assert found.tolist() == pytest.approx(DISTANCES[size, condition], abs=2e-5)


def test_a_clip_of_the_trained_size_is_measured_as_it_is():
    assert frame_distances(moving_clip(256), 3).tolist() == pytest.approx(DISTANCES[256, 3], abs=2e-5)


@pytest.mark.parametrize("size", DILATED)
def test_edges_are_as_wide_as_trainings(size):
    assert [int((edges(frame.max(-1)) == 255).sum()) for frame in moving_clip(size)] == DILATED[size]


def test_thresholds_lie_a_third_around_the_median_and_in_range():
    assert edge_thresholds(np.full((4, 4), 90, np.uint8)) == (60, 120)
    assert edge_thresholds(np.full((4, 4), 240, np.uint8)) == (160, 255)


def test_hsv_has_trainings_ranges():
    rgb = np.array(
        [
            [0, 0, 0],
            [255, 255, 255],
            [255, 0, 0],
            [0, 255, 0],
            [0, 0, 255],
            [10, 20, 200],
            [200, 20, 100],
            [7, 7, 9],
            [90, 160, 30],
        ]
    )
    wanted = [
        [0, 0, 0],
        [0, 0, 255],
        [0, 1, 255],
        [120, 1, 255],
        [240, 1, 255],
        [236.8421, 0.95, 200],
        [333.3334, 0.9, 200],
        [240, 0.2222, 9],
        [92.3077, 0.8125, 160],
    ]
    assert np.allclose(hsv(rgb[None])[0], wanted, atol=1e-4)


def test_kernel_grows_with_the_picture_and_is_odd():
    assert [edge_kernel(side, side) for side in (64, 256, 512, 1024)] == [5, 5, 7, 9]


def test_percentiles_are_applied_as_training_applies_them(monkeypatch):
    """Values of open-mmlab/PIA's `prepare_mask_coef_by_score` for given distances: below, inside and above the
    percentiles."""
    given_distances = [0, 0.1, 60, 20, 30, 1, 2, 3, 4, 5, 50, 45, 44, 43, 49.1, 49.3]
    monkeypatch.setattr("lib_pia.affinity.frame_distances", lambda frames, condition: torch.tensor(given_distances))
    wanted = [
        1.0,
        0.98833,
        0.24,
        0.5349,
        0.35129,
        0.96485,
        0.96093,
        0.94374,
        0.92682,
        0.90962,
        0.24,
        0.22239,
        0.25247,
        0.28261,
        0.24,
        0.24,
    ]
    assert affinity_of_clip(None).tolist() == pytest.approx(wanted, abs=1e-5)


def test_affinity_of_a_whole_clip_is_trainings():
    scores = affinity_of_clip(moving_clip(256), 3)
    high = [WEBVID_PERCENTILES[abs(i - 3)][1] for i in range(5)]
    wanted = [1 - 0.8 * d / h if h else 1 for d, h in zip(DISTANCES[256, 3], high)]
    assert scores.tolist() == pytest.approx(wanted, abs=1e-4)


def test_a_batch_of_distances_is_scaled_as_each_clip_is():
    distances = torch.rand(3, 20) * 50
    rows = [scaled_affinity(row, start) for row, start in zip(distances, (0, 7, 19))]
    assert torch.equal(scaled_affinity(distances, [0, 7, 19]), torch.stack(rows))
    assert [row.argmax().item() for row in rows] == [0, 7, 19]


def test_the_last_percentiles_hold_for_longer_clips():
    clip = np.concatenate([moving_clip(32, 8)] * 4)
    scores = affinity_of_clip(clip)
    assert scores.shape == (32,)
    assert torch.equal(scores[16:24], scores[24:])  # distances beyond 15 are all judged alike


def test_own_percentiles_replace_webvids():
    clip = moving_clip(64)
    assert torch.equal(affinity_of_clip(clip, 0, [(0, 0), (1000, 1000)]), torch.tensor([1.0, 0.2, 0.2, 0.2, 0.2]))
    assert (affinity_of_clip(clip, 0, [(0, 0), (0, 1e6)]) > 0.99).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.data())
@settings(max_examples=10, deadline=None)
def test_affinity_of_any_clip_is_in_range_and_1_at_the_condition_frame(seed, frames, data):
    clip = np.random.default_rng(seed).integers(
        0, 256, (frames, *data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40))), 3)
    )
    condition = data.draw(st.integers(-frames, frames - 1))
    scores = affinity_of_clip(clip.astype(np.uint8), condition)
    assert scores.shape == (frames,) and scores.dtype == torch.float32
    assert scores[condition] == 1 and scores.min() >= 0.2 - 1e-6 and scores.max() <= 1
    assert frame_distances(clip, condition)[condition] == 0


def test_a_still_clip_stays_like_the_picture_and_a_fast_one_does_not():
    still = np.repeat(moving_clip(64)[:1], 8, axis=0)
    assert (affinity_of_clip(still) > 0.94).all()
    fast = moving_clip(64, 16)[::4]
    slow = moving_clip(64, 4)
    assert affinity_of_clip(fast).sum() < affinity_of_clip(slow).sum()


@pytest.mark.parametrize("shape", [(336, 596), (596, 336), (64, 64), (100, 99), (256, 256), (1100, 1200)])
def test_the_trained_view_is_a_square(shape):
    frames = np.full((2, *shape, 3), 77, np.uint8)
    assert trained_view(frames).shape == (2, 256, 256, 3) and np.allclose(trained_view(frames), 77)


def test_the_trained_view_is_the_middle():
    wide = np.zeros((1, 64, 192, 3), np.uint8)
    wide[:, :, 64:128] = 255
    assert (trained_view(wide)[:, :, 8:-8] == 255).all()


def test_large_frames_are_averaged_before_they_are_sampled():
    noise = np.random.default_rng(0).integers(0, 256, (1, 2048, 2048, 3), np.uint8)
    assert trained_view(noise).std() < noise.std() / 4


def test_pictures_arrays_and_tensors_are_the_same_clip():
    clip = moving_clip(40)
    wanted = frame_distances(clip)
    assert torch.equal(frame_distances([Image.fromarray(frame) for frame in clip]), wanted)
    assert torch.equal(frame_distances(list(clip)), wanted)
    assert torch.equal(frame_distances(torch.from_numpy(clip)), wanted)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "no frames"),
        ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], "same size"),
        (np.zeros((2, 4, 4)), "must be"),
        (np.zeros((2, 4, 4, 4)), "3 colours"),
        (np.zeros((2, 0, 4, 3)), "nothing empty"),
    ],
)
def test_what_is_no_clip_is_refused_in_a_sentence(frames, words):
    with pytest.raises(MediaError, match=words):
        as_frames(frames)


def test_a_condition_frame_outside_the_clip_is_refused():
    with pytest.raises(SettingsError, match="from -5 to 4"):
        affinity_of_clip(moving_clip(16), 5)
