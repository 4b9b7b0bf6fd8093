"""The miniature's scoring on rendered clips, where every answer is known."""

import dataclasses

import numpy as np
import pytest

from demo.miniature.scenes import FRAMES, to_bytes
from demo.miniature.shapes import Figure, Scene, render
from lib_pia.training import AffinityScale
from tests.bench import miniature_score as score
from tests.bench.miniature_cases import (
    BASE,
    available,
    composed_cases,
    direction_cases,
    loop_cases,
    magnitude_cases,
    scene_of,
    style_cases,
)
from tests.bench.miniature_table import WITH, WITHOUT, _ablations, by_name, rows_of, text_table

SCENE = Scene("teal", (Figure("star", "orange", 32.0, 32.0, 12.0),))


def clip(offsets: np.ndarray, scene: Scene = SCENE) -> np.ndarray:
    """Frames of the scene with its figure at `offsets` [F, 2] pixels from its place."""
    return np.stack([to_bytes(render(scene.moved([offset]))) for offset in offsets])


def way(dx: float, dy: float) -> np.ndarray:
    return np.linspace(0, 1, FRAMES)[:, None] * np.array([dx, dy])


@pytest.mark.parametrize("style", ["flat", "palette", "outline", "stripes", "shaded", "dusk", "rim"])
def test_a_perfect_clip_is_aligned_in_every_style(style):
    scene = dataclasses.replace(SCENE, style=style)
    found = score.alignment(clip(way(9, 0), scene)[::5], scene)
    assert found == {"colour": 1.0, "ground": 1.0, "size": 1.0, "all": 1.0}


@pytest.mark.parametrize(
    ("figure", "background", "wrong"),
    [({"colour": "blue"}, "teal", "colour"), ({"radius": 18.0}, "teal", "size"), ({}, "plum", "ground")],
)
def test_each_part_of_alignment_notices_its_own_fault(figure, background, wrong):
    other = Scene(background, (dataclasses.replace(SCENE.figures[0], **figure),))
    frames = np.concatenate([clip(way(0, 0))[:1], clip(way(0, 0), other)[:1]])
    found = score.alignment(frames, SCENE)
    assert found[wrong] == 0.5 and found["all"] == 0.5


def test_an_empty_frame_is_not_aligned():
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    assert score.alignment(frames, SCENE)["all"] == 0.0


@pytest.mark.parametrize(("dx", "dy", "word"), [(-8, 1, "left"), (8, -2, "right"), (1, -8, "up"), (0, 8, "down")])
def test_the_direction_is_that_of_the_farthest_place(dx, dy, word):
    path = score.track(clip(way(dx, dy)), SCENE)
    assert score.direction(path) == word
    assert path[-1] == pytest.approx([dx, dy], abs=0.3)


def test_two_figures_have_a_track_each():
    scene = Scene("navy", (Figure("circle", "red", 18.0, 20.0, 11.0), Figure("square", "blue", 46.0, 44.0, 11.0)))
    offsets = np.stack([way(-6, 0), way(0, 7)], 1)
    frames = np.stack([to_bytes(render(scene.moved(offset))) for offset in offsets])
    first, second = score.tracks(frames, scene)
    assert first[-1] == pytest.approx([-6, 0], abs=0.6) and second[-1] == pytest.approx([0, 7], abs=0.6)
    assert np.array_equal(score.tracks(np.zeros((2, 64, 64, 3), np.uint8), scene)[0], np.zeros((2, 2)))


def test_composed_prompts_name_both_figures_and_their_ways():
    for case, motions in composed_cases(4):
        assert len(case.scene.figures) == 2
        for figure, motion in zip(case.scene.figures, motions):
            assert f"{figure.shape} moving {motion}" in case.text


def test_displacement_is_the_mean_over_the_frames_after_the_first():
    path = score.track(clip(way(10, 0)), SCENE)
    assert score.mean_displacement(path) == pytest.approx(10 * 8 / 15, abs=0.2)


def test_a_loop_returns_and_a_way_does_not():
    there = 10 * np.sin(np.pi * np.linspace(0, 1, FRAMES))
    assert score.return_ratio(score.track(clip(np.stack([there, 0 * there], 1)), SCENE)) < 0.05
    assert score.return_ratio(score.track(clip(way(10, 0)), SCENE)) > 0.95


def test_jumping_frames_are_less_coherent_than_a_smooth_way():
    rng = np.random.default_rng(0)
    smooth = score.coherence(clip(way(8, 0)), SCENE)
    jumping = score.coherence(clip(way(8, 0) + rng.normal(0, 2, (FRAMES, 2))), SCENE)
    assert jumping["jerk"] > 10 * smooth["jerk"]


def test_affinity_correlates_with_the_affinity_of_the_clip_it_was_measured_on():
    from lib_pia.affinity import frame_distances

    scale = AffinityScale(((0.0, 0.0), *[(0.0, 20.0)] * 15))
    clips = [clip(way(12, 0)), clip(way(4, 0))]
    requested = [scale.affinity(frame_distances(c, 0, None)[None], [0])[0].numpy() for c in clips]
    assert score.affinity_correlation(clips, requested, scale) == pytest.approx(1.0)
    assert score.affinity_correlation(clips, requested[::-1], scale) < 0.9


@pytest.mark.parametrize("style", ["palette", "outline", "stripes", "shaded", "dusk", "rim"])
def test_a_frame_in_a_style_is_told_from_a_flat_one(style):
    styled = clip(way(6, 0), dataclasses.replace(SCENE, style=style))[-1]
    flat = clip(way(6, 0))[-1]
    assert score.in_style(styled, SCENE, style)
    assert not score.in_style(flat, SCENE, style)


def test_cases_keep_one_noise_per_picture_for_all_magnitudes():
    large = {c.picture: c for c in direction_cases(BASE, 3) if c.seed % 10 == 0}
    for case in magnitude_cases(BASE, 3) + loop_cases(BASE, 3):
        assert case.seed == large[case.picture].seed and case.direction == large[case.picture].direction
    assert len(direction_cases(BASE)) == 15
    assert {c.motion for c in style_cases("outline", 1)} == {"animate", "style_transfer"}


def test_pictures_leave_room_on_every_side_and_are_the_same_every_time():
    for number in range(5):
        (figure,) = scene_of("outline", number).figures
        assert min(figure.x, figure.y, 64 - figure.x, 64 - figure.y) > figure.radius + 10
        assert scene_of("outline", number) == scene_of("outline", number) != scene_of(BASE, number)


def test_only_models_whose_files_are_there_are_scored(tmp_path):
    (tmp_path / "miniature_outline.safetensors").touch()
    assert available(tmp_path) == [BASE, "outline"]


def test_the_table_says_what_is_reached_and_what_is_not():
    good = {
        "all": 0.97,
        "colour": 1,
        "ground": 1,
        "size": 0.97,
        "psnr": 26,
        "vae_psnr": 31,
        "direction": 0.95,
        "moved_small": 2.0,
    }
    good |= {
        "moved_moderate": 3.0,
        "moved_large": 6.0,
        "affinity_rank": 0.85,
        "loop": 0.1,
        "jerk": 0.3,
        "flicker": 0.01,
    }
    poor = good | {"all": 0.5}
    scores = {"models": {BASE: good, "outline": poor}, "condition": {WITH: good, WITHOUT: poor | {"all": 0.1}}}
    scores["styles"] = {"outline": {"usual": 0.2, "small": 0.5, "moderate": 0.8, "large": 0.95}}
    scores["composed"] = {BASE: {"figures": 0.75, "both": 0.5, "psnr": 25.0, "clips": 10}}
    rows = {claim: reached for claim, _, _, reached in rows_of(scores)}
    assert rows["composed prompts: direction right"] == "NO"
    assert rows["image alignment, frames"] == rows[WITHOUT] == rows["style transfer: outline"] == "yes"
    assert rows["personalised: outline"] == "NO"
    weaker = {**scores, "models": {BASE: good | {"moved_moderate": 2.2}}}
    assert dict((r[0], r[3]) for r in rows_of(weaker))["displacement small, moderate, large"] == "NO"
    blurred = {**scores, "models": {BASE: good | {"psnr": 27.9}}}
    assert dict((r[0], r[3]) for r in rows_of(blurred))["condition frame PSNR"] == "NO"
    assert "reached" in text_table(rows_of(scores)).splitlines()[0]


def test_an_ablation_is_worse_only_beyond_the_errors():
    def of(*aligned, jerk=0.5):
        return [{"all": value, "psnr": 20.0, "jerk": jerk, "flicker": 0.1} for value in aligned]

    seeds = {
        "reference": of(0.7, 0.8, 0.9),
        "onehot": of(0.7, 0.75, 0.8),
        "none": of(0.4, 0.5, 0.6),
        "frozen": of(0.8, 0.8, 0.8, jerk=0.9),
    }
    compared = {f"{name}.{seed}": found for name, scores in seeds.items() for seed, found in enumerate(scores, 1)}
    rows = {claim: (text, reached) for claim, text, _, reached in _ablations(by_name(compared))}
    assert [rows[f"ablation: {name}"][1] for name in ("onehot", "none", "frozen")] == ["NO", "yes", "yes"]
    assert rows["full recipe, same steps"][0].startswith("alignment 80 % +- 6 %")


def test_psnr_of_a_known_error():
    a = np.zeros((4, 4, 3), np.uint8)
    assert score.psnr(a, a + 16) == pytest.approx(10 * np.log10(255**2 / 256))
