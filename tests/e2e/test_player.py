"""The player, and the way of a clip's settings through infotext back into the panel."""
import pytest

from .conftest import draw_picture, open_page, open_panel, show_tab, value, wait_value

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
    player.evaluate("""selector => {
        const seek = document.querySelector(selector);
        seek.value = 3;
        seek.dispatchEvent(new Event("input"));
    }""", PLAYER + ".pia-seek")
    assert player.evaluate(NUMBER) == "Frame 3 (0 to 7)"
    player.locator(PLAYER + ".pia-player").get_by_label("Next frame").click()
    assert player.evaluate(NUMBER) == "Frame 4 (0 to 7)"
    assert player.evaluate(f"document.querySelector('{PLAYER}video').currentTime") == pytest.approx(4.5 / 8, abs=0.01)


def test_a_gif_can_be_stepped_too(player):
    choose_format(player, "GIF")
    player.wait_for_function(f"document.querySelector('{PLAYER}img').src.includes('.gif')")
    press(player, "Pause")
    player.wait_for_function(f"document.querySelector('{PLAYER}img').src.startsWith('blob:')")
    player.wait_for_function(f"document.querySelector('{PLAYER}img').naturalWidth === 64")


def test_the_picture_can_be_laid_over(player):
    picture = player.locator(PLAYER + ".pia-picture")
    assert not picture.is_visible()
    player.evaluate("""selector => {
        const compare = document.querySelector(selector);
        compare.value = 50;
        compare.dispatchEvent(new Event("input"));
    }""", PLAYER + "input[aria-label='Compare with the picture']")
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
    before = player.get_attribute("#img2img_image img", "src")
    press(player, "Frame to img2img")
    player.wait_for_function("before => { const now = document.querySelector('#img2img_image img'); return now && now.src !== before; }", arg=before)
    player.wait_for_function("document.querySelector('#img2img_prompt textarea').value === 'a disc, 中文'")
    wait_value(player, "num_frames", "8")


def test_png_info_reads_a_clip_and_sends_every_field_back(player, clip_made, server):
    gif = max(server.outputs().rglob("*.gif"))
    infotext_fields = {"affinity": "1, 0.25, 0.5", "num_frames": "12", "fps": "5", "condition_frame": "2"}
    player.evaluate("""fields => {
        const panel = {part: (name) => gradioApp().querySelector(`#img2img_pia_${name}`)};
        for (const [name, text] of Object.entries(fields)) pia.write(panel, name, text);
    }""", {**infotext_fields, "magnitude": "large"})
    show_tab(player, "PNG Info")
    player.set_input_files("#pnginfo_image input[type=file]", gif)
    player.wait_for_function("document.querySelector('#tab_pnginfo').innerText.includes('PIA frames: 8')")
    player.click("#tab_pnginfo button:has-text('Send to img2img')")
    wait_value(player, "num_frames", "8")
    wait_value(player, "affinity", "")
    assert [value(player, name) for name in ("motion", "magnitude", "fps", "condition_frame")] == ["animate", "moderate", "8", "0"]
    assert player.evaluate("document.querySelector('#img2img_pia_enabled-checkbox input').checked")


def test_a_pasted_curve_is_drawn(player):
    show_tab(player, "img2img")
    infotext = "a disc\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, PIA enabled: True, PIA frames: 4, PIA affinity: 1.0 0.2 0.4 0.6"
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
    other.locator("#img2img_pia_affinity textarea").press_sequentially("1 0")
    wait_value(other, "motion", "custom")
    assert value(player, "affinity") == "" and value(player, "motion") == "animate"
    assert other.problems == []
    other.context.close()


def test_the_panel_makes_a_clip_without_its_scripts(browser, server, tmp_path):
    """Numbers field and Generate are the WebUI's own; only chart, player and notices need the extension's JavaScript."""
    page = open_page(browser, server.url, without="javascript/pia")
    assert page.evaluate("typeof pia") == "undefined"
    before = len(list(server.outputs().rglob("*.gif")))
    show_tab(page, "img2img")
    page.click("#img2img_pia_enabled .label-wrap")
    page.set_input_files("#img2img_image input[type=file]", draw_picture(tmp_path / "in.png"))
    page.wait_for_selector("#img2img_image img")
    page.check("#img2img_pia_enabled-visible-checkbox")
    page.fill("#img2img_pia_affinity textarea", "1, 0.3")
    for name, number in (("pia_num_frames", 4), ("width", 64), ("height", 64), ("steps", 2)):
        field = page.locator(f"#img2img_{name} input[type=number]")
        field.fill(str(number))
        field.press("Tab")
    page.click("#img2img_generate")
    page.wait_for_function("document.querySelector('#html_info_img2img').innerText.includes('PIA affinity: 1.0 0.3')")
    assert len(list(server.outputs().rglob("*.gif"))) == before + 1
    page.context.close()
