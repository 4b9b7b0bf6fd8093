"""The affinity curve: what it shows, and drawing it by mouse and keyboard."""

import pytest
from playwright.sync_api import expect

from .conftest import RESTORE, draw_clip, open_fold, open_panel, show_tab, value, wait_value

POINTS = "#img2img_pia_chart .pia-point"
MODERATE_8 = [1.0, 0.8, 0.8, 0.8, 0.79, 0.78, 0.75, 0.75]


def numbers(page, tab="img2img"):
    return [float(text) for text in value(page, "affinity", tab).split(",")] if value(page, "affinity", tab) else []


def shown(page, tab="img2img"):
    """The numbers that the chart draws, to 2 digits."""
    return page.evaluate(
        """tab => [...gradioApp().querySelectorAll(`#${tab}_pia_chart .pia-dot`)]
        .map(dot => Math.round(100 * (1 - (dot.getAttribute("cy") - 26) / 180)) / 100)""",
        tab,
    )


def wait_shown(page, wanted, tab="img2img"):
    page.wait_for_function(
        """([tab, wanted]) => JSON.stringify([...gradioApp().querySelectorAll(`#${tab}_pia_chart .pia-dot`)]
        .map(dot => Math.round(100 * (1 - (dot.getAttribute("cy") - 26) / 180)) / 100)) === JSON.stringify(wanted)""",
        arg=[tab, wanted],
    )


def points(page):
    return page.evaluate(f"[...gradioApp().querySelectorAll('{POINTS}')].map(point => Number(point.dataset.frame))")


@pytest.fixture
def curve(page):
    wait_shown(page, MODERATE_8)
    return page


def at(page, frame, affinity):
    """Where a frame's affinity is on the screen."""
    page.locator("#img2img_pia_chart svg").scroll_into_view_if_needed()
    return page.evaluate(
        """([frame, affinity]) => {
        const plot = gradioApp().querySelector("#img2img_pia_chart svg");
        const last = plot.querySelectorAll(".pia-dot").length - 1;
        const x = 46 + (plot.viewBox.baseVal.width - 60) * frame / last;
        const spot = new DOMPoint(x, 26 + 180 * (1 - affinity)).matrixTransform(plot.getScreenCTM());
        return [spot.x, spot.y];
    }""",
        [frame, affinity],
    )


def drag(page, start, end):
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=3)
    page.mouse.up()


def test_it_shows_what_the_server_will_use(curve):
    curve.locator("#img2img_pia_magnitude label", has_text="large").click()
    wait_shown(curve, [1.0, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7])
    curve.locator("#img2img_pia_motion label", has_text="loop").click()
    curve.wait_for_function(
        "Math.abs(gradioApp().querySelectorAll('#img2img_pia_chart .pia-dot')[7].getAttribute('cy') - 26) < 1"
    )


def test_its_axis_is_named(curve):
    text = curve.inner_text("#img2img_pia_chart")
    assert "stays like the picture" in text and "moves freely" in text


def test_dragging_a_point_writes_the_numbers_and_means_custom(curve):
    drag(curve, (6, 0.75), (6, 0.3))
    wait_value(curve, "motion", "custom")
    written = numbers(curve)
    assert len(written) == 8 and written[0] == 1.0 and written[6] == pytest.approx(0.3, abs=0.02)
    assert shown(curve)[6] == pytest.approx(written[6], abs=0.01)


def test_shift_snaps(curve):
    curve.keyboard.down("Shift")
    drag(curve, (6, 0.75), (6, 0.31))
    curve.keyboard.up("Shift")
    assert numbers(curve)[6] == 0.3


def test_double_click_adds_and_removes(curve):
    assert 2 not in points(curve)
    curve.mouse.dblclick(*at(curve, 2, 0.8))
    curve.wait_for_function("gradioApp().querySelector('#img2img_pia_chart [data-frame=\"2\"]')")
    assert numbers(curve) == MODERATE_8
    curve.mouse.dblclick(*at(curve, 1, 0.8))
    curve.wait_for_function("!gradioApp().querySelector('#img2img_pia_chart [data-frame=\"1\"]')")
    assert numbers(curve)[1] == pytest.approx(0.9)


def test_the_keyboard_does_it_all(curve):
    curve.locator(POINTS).nth(1).focus()
    curve.keyboard.press("ArrowDown")
    assert numbers(curve)[1] == 0.79
    curve.keyboard.press("Shift+ArrowDown")
    assert numbers(curve)[1] == 0.75
    curve.keyboard.press("End")
    assert numbers(curve)[1] == 1.0
    curve.keyboard.press("Insert")
    assert 2 in points(curve)
    curve.keyboard.press("Delete")
    assert 1 not in points(curve)
    curve.keyboard.press("ArrowRight")
    curve.keyboard.press("Alt+ArrowLeft")
    focused = curve.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("Affinity of frame")
    assert curve.evaluate("document.activeElement.getAttribute('role')") == "slider"


def test_reset_goes_back_to_the_motion(curve):
    drag(curve, (6, 0.75), (6, 0.3))
    wait_value(curve, "motion", "custom")
    curve.click("#img2img_pia_chart button:text-is('Reset curve')")
    wait_value(curve, "motion", "animate")
    assert value(curve, "affinity") == ""
    wait_shown(curve, MODERATE_8)


def test_typed_numbers_become_the_curve_and_another_motion_clears_them(curve):
    open_fold(curve, "longer")
    curve.locator("#img2img_pia_affinity textarea").press_sequentially("1 0")
    wait_value(curve, "motion", "custom")
    wait_shown(curve, [1.0, 0.86, 0.71, 0.57, 0.43, 0.29, 0.14, 0.0])
    curve.locator("#img2img_pia_motion label", has_text="animate").click()
    wait_value(curve, "affinity", "")
    wait_shown(curve, MODERATE_8)


def test_numbers_that_cannot_be_used_get_the_servers_sentence(curve):
    open_fold(curve, "longer")
    curve.fill("#img2img_pia_affinity textarea", "1, 7")
    curve.wait_for_function(
        "gradioApp().querySelector('#img2img_pia_chart .pia-message').textContent.includes('from 0 to 1')"
    )


def test_each_tab_has_its_own(curve):
    show_tab(curve, "txt2img")
    open_panel(curve, "txt2img")
    curve.evaluate(RESTORE, "txt2img")
    curve.locator("#txt2img_pia_motion label", has_text="style_transfer").click()
    wait_shown(curve, [0.5, 0.4, 0.4, 0.4, 0.35, 0.35, 0.3, 0.25], "txt2img")
    assert value(curve, "motion") == "animate"


def test_the_motion_of_a_clip_becomes_the_curve(curve, tmp_path):
    curve.set_input_files("#img2img_pia_chart input[type=file]", draw_clip(tmp_path / "moves.gif"))
    wait_value(curve, "motion", "custom")
    written = numbers(curve)
    assert len(written) == 8 and written[0] == 1.0 and min(written[1:]) < 0.95
    message = curve.locator("#img2img_pia_chart .pia-message")
    curve.locator(
        "#img2img_pia_magnitude label", has_text="small"
    ).click()  # the chart asks again, and gets the same numbers
    curve.wait_for_timeout(1000)
    assert "moves.gif" in message.inner_text()
    curve.locator("#img2img_pia_motion label", has_text="animate").click()
    expect(message).to_have_text("")


def test_a_file_that_is_no_clip_gets_a_sentence(curve, tmp_path):
    curve.set_input_files("#img2img_pia_chart input[type=file]", draw_clip(tmp_path / "one.gif", frames=1))
    curve.wait_for_function(
        "gradioApp().querySelector('#img2img_pia_chart .pia-message').textContent.includes('frame')"
    )
    assert value(curve, "motion") == "animate"
