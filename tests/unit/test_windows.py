"""Windows of long clips: every frame is made once, from frames that are there, at the affinity that training knows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_pia.affinity import affinity_scores
from lib_pia.settings import PIASettings
from lib_pia.windows import (
    Window,
    clip_affinity,
    kept,
    plan,
    plan_chain,
    plan_slide,
    pyramid,
    window_affinity,
    window_starts,
)


@st.composite
def chains(draw):
    window = draw(st.integers(8, 32))
    frames = draw(st.integers(2, 512))
    known = draw(st.integers(0, 6))
    return frames + known, window, draw(st.integers(1, window // 2)), draw(st.integers(0, frames - 1)), known


@given(chains())
def test_every_frame_is_made_once_from_frames_that_are_there(case):
    frames, length, overlap, condition_frame, known = case
    made = set(range(known))
    for number, window in enumerate(plan_chain(frames, length, overlap, condition_frame, known)):
        span = range(window.start, window.start + window.length)
        assert span[0] >= 0 and span[-1] < frames and len(span) == min(length, frames)
        assert [span[f] for f in window.known] == sorted(made & set(span))
        assert window.of_picture == (number == 0 and not known)
        if window.of_picture:
            assert span[window.condition_frame] == condition_frame
        else:
            assert window.condition_frame in window.known
            new = [f for f in range(window.length) if f not in window.known]
            assert min(abs(f - window.condition_frame) for f in new) == 1 if new else True
        made |= set(span)
    assert made == set(range(frames))


def test_a_chain_of_40():
    assert plan_chain(40, 16, 4) == (
        Window(0, 16, (), 0, True),
        Window(12, 16, (0, 1, 2, 3), 3, False),
        Window(24, 16, (0, 1, 2, 3), 3, False),
    )
    assert plan_chain(42, 16, 4)[-1] == Window(26, 16, tuple(range(14)), 13, False)


def test_a_picture_in_the_middle_is_gone_on_from_to_both_sides():
    windows = plan_chain(40, 16, 4, condition_frame=30)
    assert windows == (
        Window(24, 16, (), 6, True),
        Window(12, 16, (12, 13, 14, 15), 12, False),
        Window(0, 16, (12, 13, 14, 15), 12, False),
    )


def test_known_frames_give_way_to_the_new_ones():
    first, second, _ = plan(PIASettings(num_frames=40))
    assert kept(PIASettings(num_frames=40), first).tolist() == [0] * 16
    assert kept(PIASettings(num_frames=40), second).tolist() == [1, 0.5625, 0.25, 0.0625] + [0] * 12
    one = PIASettings(num_frames=40, overlap=1)
    assert kept(one, plan(one)[1]).tolist() == [1] + [0] * 15
    last = PIASettings(num_frames=42)  # the last window overlaps more
    assert kept(last, plan(last)[-1]).tolist() == [1] * 11 + [0.5625, 0.25, 0.0625, 0, 0]
    back = PIASettings(num_frames=40, condition_frame=-1)
    assert kept(back, plan(back)[1]).tolist() == [0] * 12 + [0.0625, 0.25, 0.5625, 1]


def test_given_frames_and_pictures_stay():
    s = PIASettings(num_frames=16)
    assert kept(s, plan(s, known=4)[0], given=4).tolist() == [1] * 4 + [0] * 16
    assert kept(s, plan(s, known=4)[0], given=4, remade=3).tolist() == [1, 0.5625, 0.25, 0.0625] + [0] * 16
    later = PIASettings.from_dict({"num_frames": 40, "pictures": [{"frame": 9, "image": "AAAA"}]})  # the clip's 13th
    assert plan(later, known=4)[1].start == 12
    assert kept(later, plan(later, known=4)[1], given=4, remade=3).tolist()[:5] == [1, 1, 0.25, 0.0625, 0]
    inside = PIASettings(num_frames=40, condition_frame=14)
    assert kept(inside, plan(inside)[1]).tolist()[:5] == [1, 0.5625, 1, 0.0625, 0]


def test_a_longer_clip_begins_as_the_shorter_one():
    assert window_starts(40, 16, 4) == [0, 12, 24] and window_starts(64, 16, 4)[:3] == [0, 12, 24]
    assert window_starts(41, 16, 4) == [0, 12, 24, 25] and window_starts(16, 16, 4) == [0]


def test_one_window_as_long_as_it_fits():
    assert [len(plan(PIASettings(num_frames=n))) for n in (2, 16, 32, 33)] == [1, 1, 1, 3]
    assert plan(PIASettings(num_frames=32))[0] == Window(0, 32, (), 0, True)
    assert plan(PIASettings(num_frames=32, window=16))[0].length == 16
    assert plan(PIASettings(num_frames=12, condition_frame=-1))[0].condition_frame == 11
    assert plan(PIASettings(num_frames=16), known=4) == (Window(0, 20, (0, 1, 2, 3), 3, False),)
    assert plan(PIASettings(num_frames=32), known=4)[0] == Window(0, 16, (0, 1, 2, 3), 3, False)


def test_affinity_in_one_window_is_that_of_before():
    for values in ({}, {"motion": "loop"}, {"motion": "style_transfer"}, {"affinity": (1.0, 0.2)}):
        s = PIASettings(num_frames=20, condition_frame=3, **values)
        wanted = affinity_scores(20, 3, s.motion, s.magnitude, s.affinity)
        assert torch.equal(clip_affinity(s), wanted)


def test_affinity_of_later_windows_counts_from_the_frame_they_go_on_from():
    s = PIASettings(num_frames=40, magnitude="large")
    first, second, _ = plan(s)
    assert torch.equal(window_affinity(s, second), affinity_scores(16, 3, "animate", "large"))
    scores = clip_affinity(s)
    assert scores[16] == pytest.approx(0.8) and scores[0] == 1 and len(scores) == 40  # frame 16 is one after the known


def test_style_transfer_goes_on_by_the_tables_of_animate():
    s = PIASettings(num_frames=40, motion="style_transfer")
    first, second, _ = plan(s)
    assert window_affinity(s, first)[0] == 0.5
    assert torch.equal(window_affinity(s, second), affinity_scores(16, 3, "animate", "moderate"))


def test_a_curve_counts_over_the_whole_clip():
    s = PIASettings(num_frames=40, affinity=(1.0, 0.0))
    _, second, _ = plan(s)
    scores = window_affinity(s, second)
    assert scores[3] == 1 and scores[4] == pytest.approx(1 - 16 / 39) and clip_affinity(s)[-1] == 0
    known = clip_affinity(PIASettings(num_frames=8, affinity=(0.5, 0.1)), known=4)
    assert known[0] == 0.5 and known[-1] == pytest.approx(0.1)


def test_a_slide_is_one_plan_and_its_windows_cover_every_frame():
    s = PIASettings(num_frames=48, longer="slide")
    assert plan(s) == (Window(0, 48, (), 0, True),) and s.overlap_frames == 8
    assert {len(span) for span in plan_slide(s)} == {16}
    assert sorted({f for span in plan_slide(s) for f in span}) == list(range(48))
    assert plan(PIASettings(num_frames=32, longer="slide"))[0].length == 32  # fits into one window


def test_a_loops_windows_go_on_over_its_end():
    spans = plan_slide(PIASettings(num_frames=48, longer="slide", motion="loop"))
    assert len(spans) == 6 and spans[-1] == (*range(40, 48), *range(8))
    counts = [sum(f in span for span in spans) for f in range(48)]
    assert set(counts) == {2}


def test_affinity_of_a_loop_of_several_windows_is_symmetric_around_it():
    loop = {"longer": "slide", "motion": "loop", "magnitude": "large"}
    scores = clip_affinity(PIASettings(num_frames=48, condition_frame=5, **loop))
    assert scores[5] == 1 and scores[4] == scores[6] == pytest.approx(0.8) and scores[29] == pytest.approx(0.5)
    turned = scores.roll(-5)
    assert torch.equal(turned[1:], turned[1:].flip(0))


def test_weights_are_most_in_the_middle():
    assert pyramid(4).tolist() == [1, 2, 2, 1] and pyramid(5).tolist() == [1, 2, 3, 2, 1]


def test_further_pictures_have_affinity_1_in_the_window_that_makes_them():
    picture = {"frame": -1, "image": "iVBORw0KGgo="}
    one = clip_affinity(PIASettings.from_dict({"magnitude": "large", "pictures": [picture]}))
    assert one[0] == one[-1] == 1 and torch.equal(one, one.flip(0)) and one.min() < 0.8
    chain = PIASettings.from_dict({"num_frames": 40, "pictures": [picture]})
    assert [window_affinity(chain, window)[-1] == 1 for window in plan(chain)] == [False, False, True]
    curve = PIASettings.from_dict({"affinity": [0.5, 0.1], "pictures": [picture]})
    assert clip_affinity(curve)[0] == 0.5 and clip_affinity(curve)[-1] == 1
