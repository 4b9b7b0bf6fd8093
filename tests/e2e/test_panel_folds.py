"""What a newcomer sees, and folds that say what in them is not the default."""

import pytest

from .conftest import draw_picture, open_fold, value, wait_value

FOLDS = ("longer", "picture", "files")
PRESET = ["preset", "preset_refresh", "preset_save"]
CLOSE = """folds => { for (const fold of folds) {
    const header = document.querySelector(`#img2img_pia_${fold}_fold > .label-wrap`);
    if (header.classList.contains("open")) header.click();
} }"""


def header(page, fold):
    return page.locator(f"#img2img_pia_{fold}_fold > .label-wrap > span").first.inner_text()


def said(page, fold, text):
    page.wait_for_function(
        "([fold, text]) => document.querySelector(`#img2img_pia_${fold}_fold > .label-wrap > span`).innerText === text",
        arg=[fold, text],
    )


def test_presets_and_five_controls_are_seen(page):
    page.evaluate(CLOSE, FOLDS)
    page.wait_for_timeout(300)
    seen = page.evaluate("""() => [...document.querySelectorAll("#img2img_pia_enabled [id^=img2img_pia_]")]
        .filter((part) => part.offsetParent && part.offsetHeight > 0).map((part) => part.id.replace("img2img_pia_", ""))
        .filter((name) => !name.endsWith("_fold") && !["notice", "enabled-visible-checkbox", "preset_message"]
            .includes(name))""")
    assert sorted(seen) == ["chart", "fps", "magnitude", "motion", "num_frames", *PRESET]


def test_a_header_says_what_is_not_the_default(page):
    for fold in FOLDS:
        open_fold(page, fold)
    boxes = page.locator("#img2img_pia_formats input")
    for index in (1, 3):  # mp4 off, webm on
        boxes.nth(index).click()
    page.locator("#img2img_pia_interpolate label").nth(1).click()
    page.locator("#img2img_pia_ping_pong input").check()
    page.locator("#img2img_pia_condition_frame input").fill("3")
    page.locator("#img2img_pia_fast label").nth(2).click()
    said(page, "files", "Files: GIF, WebM, Ping-pong, 2x")
    said(page, "picture", "Picture and colour: Condition frame 3, Fast 3")
    boxes.nth(1).click()
    boxes.nth(3).click()
    page.locator("#img2img_pia_interpolate label").nth(0).click()
    page.locator("#img2img_pia_ping_pong input").uncheck()
    page.locator("#img2img_pia_condition_frame input").fill("0")
    page.locator("#img2img_pia_fast label").nth(0).click()
    for fold, label in zip(FOLDS, ("Longer and directed", "Picture and colour", "Files")):
        said(page, fold, label)


def test_a_drawn_curve_is_named_in_its_fold(page):
    open_fold(page, "longer")
    page.locator("#img2img_pia_affinity textarea").fill("1, 0.5")
    said(page, "longer", "Longer and directed: Affinity")


def test_the_pictures_of_a_folder_are_the_control_clip(page, tmp_path):
    names = ["2.png", "10.png"]
    files = [str(draw_picture(tmp_path / name)) for name in names]
    open_fold(page, "longer")
    page.set_input_files("#img2img_pia_control_video input[type=file]", files)
    said(page, "longer", "Longer and directed: Control clip")
    shown = page.locator("#img2img_pia_control_video .file-preview").inner_text()
    assert all(name in shown for name in names)
    page.locator("#img2img_pia_control_video button[aria-label=Clear]").click()
    said(page, "longer", "Longer and directed")


@pytest.mark.parametrize("typed, key", [("pia", "Tab"), ("pia", "Enter"), ("", "Tab")])
def test_the_model_that_counts_is_the_one_that_is_shown(page, typed, key):
    open_fold(page, "files")
    field = page.locator("#img2img_pia_model input")
    page.evaluate("""() => { window.chosen = null; const send = window.fetch;
        window.fetch = (address, ...rest) => {
            const m = String(address).match(/status\\?model=(.*)/);
            if (m) window.chosen = decodeURIComponent(m[1]);
            return send(address, ...rest); }; }""")
    field.click()
    field.press("Control+A")
    field.press("Delete")
    field.press_sequentially(typed)
    field.press(key)
    page.locator("#img2img_pia_fps input").first.click()
    page.wait_for_timeout(600)
    assert value(page, "model") != ""
    page.evaluate(
        "pia.write({part: (name) => gradioApp().querySelector(`#img2img_pia_${name}`)}, 'model', 'Automatic')"
    )
    wait_value(page, "model", "Automatic")
