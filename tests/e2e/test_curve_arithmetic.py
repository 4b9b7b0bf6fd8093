"""javascript/pia_curve.js alone, on an empty page: the arithmetic of the affinity curve."""

import pytest

from .conftest import ROOT

VALUES = [1.0, 0.8, 0.7, 0.7, 0.7, 0.6, 0.5, 0.5]


@pytest.fixture(scope="module")
def curve(browser):
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "javascript/pia_curve.js")
    yield lambda name, *values: page.evaluate("([name, values]) => piaCurve[name](...values)", [name, list(values)])
    page.close()


def points(*pairs):
    return [{"frame": frame, "value": value} for frame, value in pairs]


def test_points_are_where_the_curve_bends_and_give_the_values_back(curve):
    found = curve("pointsOf", VALUES)
    assert found == points((0, 1), (1, 0.8), (2, 0.7), (4, 0.7), (6, 0.5), (7, 0.5))
    assert curve("valuesOf", found, 8) == VALUES
    assert curve("pointsOf", [0.5, 0.5]) == points((0, 0.5), (1, 0.5))


def test_a_point_is_added_on_the_curve_once(curve):
    ends = points((0, 1), (4, 0.5))
    assert curve("added", ends, 2, 5) == points((0, 1), (2, 0.75), (4, 0.5))
    assert curve("added", ends, 4, 5) == ends


def test_only_inner_points_can_be_removed(curve):
    three = points((0, 1), (2, 0.75), (4, 0.5))
    assert curve("removed", three, 1) == points((0, 1), (4, 0.5))
    assert curve("removed", three, 0) == curve("removed", three, 2) == three


def test_a_moved_point_stays_between_its_neighbours_and_in_range(curve):
    three = points((0, 1), (2, 0.75), (4, 0.5))
    assert curve("moved", three, 1, 9, 1.7, False)[1] == {"frame": 3, "value": 1}
    assert curve("moved", three, 1, -3, -0.2, False)[1] == {"frame": 1, "value": 0}
    assert curve("moved", three, 0, 3, 0.33, True)[0] == {"frame": 0, "value": 0.35}


def test_a_files_frames_have_the_affinity_of_the_clips(curve):
    assert curve("overFile", [1, 0.5, 0], 3, False) == [1, 0.5, 0]
    assert curve("overFile", [1, 0.5, 0], 5, False) == [1, 0.75, 0.5, 0.25, 0]  # interpolated
    assert curve("overFile", [1, 0.5, 0], 4, True) == [1, 0.5, 0, 0.5]  # there and back
    assert curve("overFile", [1], 2, False) == [1, 1]


def test_text_and_sameness(curve):
    assert curve("text", [1, 0.25]) == "1, 0.25"
    assert (
        curve("same", [1, 0.5], [1, 0.5004])
        and not curve("same", [1, 0.5], [1, 0.51])
        and not curve("same", [1], [1, 1])
    )
