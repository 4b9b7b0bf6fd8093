"""The player, and the way of a clip's settings through infotext back into the panel."""

import pytest

from .conftest import draw_picture, make_clip, open_fold, open_page, open_panel, show_tab, value, wait_value

PLAYER = "#img2img_pia_player "
NUMBER = f"document.querySelector('{PLAYER}.pia-number').value"


@pytest.fixture
def player(clip_made, page):
    page.locator(PLAYER + ".pia-stage").scroll_into_view_if_needed()
    return page


def choose_format(page, name):
    page.select_option(PLAYER + ".pia-select >> nth=1", label=name)


def press(page, name):
    page.click(f"{PLAYER}button:text-is('{name}')")


def test_the_clip_plays_and_can_be_stepped(player):
    choose_format(player, "MP4")
    player.wait_for_function(f"!document.querySelector('{PLAYER}video').paused")
    press(player, "Pause")
    player.wait_for_function(f"document.querySelector('{PLAYER}video').paused")
    player.evaluate(
        """selector => {
        const seek = document.querySelector(selector);
        seek.value = 3;
        seek.dispatchEvent(new Event("input"));
    }""",
        PLAYER + ".pia-seek",
    )
    assert player.evaluate(NUMBER) == "Frame 3 (0 to 7)"
    player.locator(PLAYER + ".pia-player").get_by_label("Next frame").click()
    assert player.evaluate(NUMBER) == "Frame 4 (0 to 7)"
    assert player.evaluate(f"document.querySelector('{PLAYER}video').currentTime") == pytest.approx(4.5 / 8, abs=0.01)


def test_a_gif_can_be_stepped_too(player):
    choose_format(player, "GIF")
    player.wait_for_function(f"document.querySelector('{PLAYER}img').src.includes('.gif')")
    press(player, "Pause")
    player.wait_for_function(f"!document.querySelector('{PLAYER}canvas.pia-view').hidden")
    assert player.evaluate(f"document.querySelector('{PLAYER}canvas.pia-view').width") == 64
    assert not player.locator(PLAYER + "img.pia-view").first.is_visible()


def test_the_stage_obeys_the_keyboard(player):
    choose_format(player, "MP4")
    paused = f"document.querySelector('{PLAYER}video').paused"
    player.wait_for_function("!" + paused)
    player.locator(PLAYER + ".pia-stage").focus()
    player.keyboard.press("Space")
    player.wait_for_function(paused)
    for key, frame in (
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", 7),
        ("ArrowRight", 7),
    ):
        player.keyboard.press(key)
        assert player.evaluate(NUMBER) == f"Frame {frame} (0 to 7)"
    player.locator(PLAYER + ".pia-seek").focus()
    player.keyboard.press("ArrowLeft")
    assert player.evaluate(NUMBER) == "Frame 6 (0 to 7)"
    player.keyboard.press("Space")
    player.wait_for_function("!" + paused)


def test_the_ruler_has_a_place_for_every_frame_and_its_affinity(player):
    choose_format(player, "MP4")
    press(player, "Pause")
    canvas = player.locator(PLAYER + ".pia-ruler-curve")
    seek = player.locator(PLAYER + ".pia-seek")
    assert (seek.get_attribute("max"), canvas.bounding_box()["width"]) == ("7", seek.bounding_box()["width"])
    highest = player.evaluate(
        """canvas => {                 // the topmost painted row in the column of each frame
        const pen = canvas.getContext("2d"), { width, height } = canvas;
        return [0, 7].map((frame) => {
            const column = Math.round(5 + (width - 10) * frame / 7) - (frame ? 1 : 0);
            const data = pen.getImageData(column, 0, 1, height).data;
            return [...Array(height).keys()].findIndex((row) => data[4 * row + 3] > 90);
        });
    }""",
        canvas.element_handle(),
    )
    assert 0 <= highest[0] < highest[1]  # 1.0 at the picture, 0.75 at the end


def test_the_clip_is_under_the_gallery_at_its_width(player):
    gallery, stage = (player.locator(name).bounding_box() for name in ("#img2img_gallery", PLAYER + ".pia-stage"))
    assert stage["y"] >= gallery["y"] + gallery["height"] - 1
    assert stage["width"] == pytest.approx(gallery["width"], rel=0.05)
    assert player.locator("#img2img_results .pia-player").count() == 1
    assert player.locator("#img2img_pia_enabled .pia-player").count() == 0


def test_the_picture_can_be_laid_over(player):
    picture = player.locator(PLAYER + ".pia-picture")
    assert not picture.is_visible()
    player.evaluate(
        """selector => {
        const compare = document.querySelector(selector);
        compare.value = 50;
        compare.dispatchEvent(new Event("input"));
    }""",
        PLAYER + "input[aria-label='Compare with the picture']",
    )
    assert picture.is_visible()
    player.wait_for_function(f"document.querySelector('{PLAYER}.pia-picture').naturalWidth > 0")


def test_the_files_can_be_downloaded(player):
    for name, start in (("GIF", "GIF8"), ("MP4", "ftyp")):
        choose_format(player, name)
        text = player.evaluate(f"""async () => {{
            const answer = await fetch(document.querySelector('{PLAYER}a[download]').href);
            return new TextDecoder("latin1").decode((await answer.arrayBuffer()).slice(0, 12));
        }}""")
        assert start in text


def test_a_frame_goes_back_to_img2img_with_its_settings(player):
    player.fill("#img2img_prompt textarea", "something else")
    press(player, "Frame to img2img")
    player.wait_for_function("document.querySelector('#img2img_prompt textarea').value === 'a disc, 中文'")
    player.wait_for_function("document.querySelector('#img2img_image img').src.startsWith('data:image/png')")
    wait_value(player, "num_frames", "8")


def test_a_frame_becomes_the_condition_picture_and_the_settings_stay(player):
    player.fill("#img2img_prompt textarea", "something else")
    for key in ("End", "Home"):  # one of them is another picture than the one that is there
        before = player.get_attribute("#img2img_image img", "src")
        player.locator(PLAYER + ".pia-stage").focus()
        player.keyboard.press(key)
        press(player, "Use as condition picture")
        player.wait_for_function(f"document.querySelector('{PLAYER}.pia-message').textContent === ''")
        player.wait_for_timeout(500)
    player.wait_for_function("before => document.querySelector('#img2img_image img').src !== before", arg=before)
    assert player.input_value("#img2img_prompt textarea") == "something else"
    assert player.evaluate("document.querySelector('#img2img_pia_enabled-checkbox input').checked")


def test_a_clip_can_be_continued(player):
    number = player.inner_text(PLAYER + ".pia-clip button[aria-pressed=true]").split()[-1]
    press(player, "Continue")
    wait_value(player, "continue_from", f"clip:{number}")
    player.wait_for_function(
        "document.querySelector('#img2img_pia_longer_fold .label-wrap').innerText.includes('Continue')"
    )
    player.click("#img2img_pia_longer_fold button:text-is('Do not continue')")
    wait_value(player, "continue_from", "")
    player.wait_for_function(
        "!document.querySelector('#img2img_pia_longer_fold .label-wrap').innerText.includes('Continue')"
    )


def test_png_info_reads_a_clip_and_sends_every_field_back(player, clip_made, server):
    gif = max(server.outputs().rglob("*.gif"))
    infotext_fields = {"affinity": "1, 0.25, 0.5", "num_frames": "12", "fps": "5", "condition_frame": "2"}
    player.evaluate(
        """fields => {
        const panel = {part: (name) => gradioApp().querySelector(`#img2img_pia_${name}`)};
        for (const [name, text] of Object.entries(fields)) pia.write(panel, name, text);
    }""",
        {**infotext_fields, "magnitude": "large"},
    )
    show_tab(player, "PNG Info")
    player.set_input_files("#pnginfo_image input[type=file]", gif)
    player.wait_for_function("document.querySelector('#tab_pnginfo').innerText.includes('PIA frames: 8')")
    player.click("#tab_pnginfo button:has-text('Send to img2img')")
    wait_value(player, "num_frames", "8")
    wait_value(player, "affinity", "")
    assert [value(player, name) for name in ("motion", "magnitude", "fps", "condition_frame")] == [
        "animate",
        "moderate",
        "8",
        "0",
    ]
    assert player.evaluate("document.querySelector('#img2img_pia_enabled-checkbox input').checked")


def test_a_pasted_curve_is_drawn(player):
    show_tab(player, "img2img")
    infotext = (
        "a disc\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, PIA enabled: True, PIA frames: 4, "
        "PIA affinity: 1.0 0.2 0.4 0.6"
    )
    player.fill("#img2img_prompt textarea", infotext)
    player.click("#img2img_tools #paste")
    wait_value(player, "affinity", "1, 0.2, 0.4, 0.6")
    wait_value(player, "motion", "custom")
    player.wait_for_function("document.querySelectorAll('#img2img_pia_chart .pia-dot').length === 4")


def test_a_second_page_shows_the_clip_and_has_fields_of_its_own(player, browser, server):
    other = open_page(browser, server.url)
    show_tab(other, "img2img")
    open_panel(other, "img2img")
    other.wait_for_selector(PLAYER + ".pia-clips button")
    open_fold(other, "longer")
    other.locator("#img2img_pia_affinity textarea").press_sequentially("1 0")
    wait_value(other, "motion", "custom")
    assert value(player, "affinity") == "" and value(player, "motion") == "animate"
    assert other.problems == []
    other.context.close()


def test_the_panel_makes_a_clip_without_its_scripts(browser, server, tmp_path):
    """Numbers field and Generate are the WebUI's own; only chart, player and notices need our JavaScript."""
    page = open_page(browser, server.url, without="javascript/pia")
    assert page.evaluate("typeof pia") == "undefined"
    before = len(list(server.outputs().rglob("*.gif")))
    show_tab(page, "img2img")
    page.click("#img2img_pia_enabled > .label-wrap")
    page.set_input_files("#img2img_image input[type=file]", draw_picture(tmp_path / "in.png"))
    page.wait_for_selector("#img2img_image img")
    page.check("#img2img_pia_enabled-visible-checkbox")
    page.click("#img2img_pia_longer_fold > .label-wrap")
    page.fill("#img2img_pia_affinity textarea", "1, 0.3")
    for name, number in (("pia_num_frames", 4), ("width", 64), ("height", 64), ("steps", 2)):
        field = page.locator(f"#img2img_{name} input[type=number]")
        field.fill(str(number))
        field.press("Tab")
    page.click("#img2img_generate")
    page.wait_for_function("document.querySelector('#html_info_img2img').innerText.includes('PIA affinity: 1.0 0.3')")
    assert len(list(server.outputs().rglob("*.gif"))) == before + 1
    page.context.close()


def test_a_clip_can_be_taken_off_the_list(player, server):
    """Its files stay; a player without clips is not there, and comes with the next one."""
    files = len(list(server.outputs().rglob("*.gif")))
    clips = player.locator(PLAYER + ".pia-clip")
    while clips.count():  # the server's list, which other pages add to
        name = clips.first.inner_text()
        clips.first.get_by_role("button", name="off the list").click()
        player.wait_for_function(
            "([selector, name]) => ![...document.querySelectorAll(selector)].some((clip) => clip.innerText === name)",
            arg=[PLAYER + ".pia-clip", name],
        )
    assert not player.locator(PLAYER + ".pia-player").is_visible()
    assert len(list(server.outputs().rglob("*.gif"))) == files
    make_clip(player)
    assert player.locator(PLAYER + ".pia-player").is_visible()
