"""What the panel says before Generate is pressed, and the download of the PIA model."""

import pytest

from .conftest import draw_picture, wait_value

NOTICE = "#img2img_pia_notice"


@pytest.fixture
def empty(page, server, hub, tmp_path):
    """The page of somebody without a PIA model."""
    if server.is_foreign:
        pytest.skip("PIA_WEBUI_URL: the address of the download cannot be set through the API")
    hub.reset()
    server.options(pia_model_dir=str(tmp_path))
    page.click("#img2img_pia_enabled > .label-wrap span >> nth=0", position={"x": 60, "y": 5})
    page.click("#img2img_pia_enabled > .label-wrap span >> nth=0", position={"x": 60, "y": 5})
    page.wait_for_function(f"document.querySelector('{NOTICE}').innerText.includes('There is no PIA model yet')")
    yield page
    server.options(pia_model_dir="")
    page.evaluate("document.querySelector('#img2img_pia_model_refresh').click()")
    page.wait_for_function(f"!document.querySelector('{NOTICE}').innerText.includes('There is no PIA model yet')")


def said(page, text):
    page.wait_for_function(
        "([notice, text]) => document.querySelector(notice).innerText.includes(text)", arg=[NOTICE, text]
    )


def test_one_press_gets_the_model(empty, server, hub, tmp_path):
    hub.content = (server.folder / "models/PIA/tiny_pia.safetensors").read_bytes()
    assert str(tmp_path) in empty.inner_text(NOTICE)
    assert empty.get_attribute(f"{NOTICE} a", "href") == "https://huggingface.co/Leoxing/PIA"
    empty.click(f"{NOTICE} button:has-text('Download')")
    said(empty, "pia.safetensors is ready.")
    assert [path.name for path in tmp_path.iterdir()] == ["pia.safetensors"]


def test_a_refusal_is_said_with_the_way_by_hand(empty, hub, tmp_path):
    hub.status = 503
    empty.click(f"{NOTICE} button:has-text('Download')")
    said(empty, "answered 503")
    said(empty, "with a browser")


def test_words_of_the_picture_can_be_added_to_the_prompt(page, tmp_path):
    infotext = (
        "a <b>disc</b>, sks toy <lora:sunny:0.8>\n"
        "Steps: 4, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64, Model: elsewhere"
    )
    page.evaluate(
        "document.querySelector('#img2img_pia_enabled-checkbox input').checked || "
        "document.querySelector('#img2img_pia_enabled-visible-checkbox').click()"
    )
    page.fill("#img2img_prompt textarea", "a <b>disc</b>")
    if page.locator("#img2img_image button[aria-label=Clear]").count():
        page.click("#img2img_image button[aria-label=Clear]")
    page.set_input_files("#img2img_image input[type=file]", draw_picture(tmp_path / "made.png", infotext))
    said(page, "<lora:sunny:0.8>, sks toy")
    page.click(f"{NOTICE} button:text-is('Add to the prompt')")
    page.wait_for_function(
        "document.querySelector('#img2img_prompt textarea').value === 'a <b>disc</b>, <lora:sunny:0.8>, sks toy'"
    )
    page.wait_for_function(f"!document.querySelector('{NOTICE}').innerText.includes('lacks')")
    assert page.locator(f"{NOTICE} b").count() == 0
    wait_value(page, "motion", "animate")


def test_the_inpaint_tabs_picture_counts_while_it_is_shown(page, tmp_path):
    page.evaluate(
        "document.querySelector('#img2img_pia_enabled-checkbox input').checked || "
        "document.querySelector('#img2img_pia_enabled-visible-checkbox').click()"
    )
    page.fill("#img2img_prompt textarea", "a disc")
    page.click("#mode_img2img > .tab-nav > button:text-is('Inpaint')")
    hidden = page.add_style_tag(
        content="#img2maskimg img { display: none }"
    )  # as gradio does while its drawing surface shows the picture
    page.set_input_files(
        "#img2maskimg input[type=file]",
        draw_picture(tmp_path / "made.png", "a disc, zwx\nSteps: 4, Seed: 1, Size: 64x64"),
    )
    said(page, "zwx")
    page.click("#mode_img2img > .tab-nav > button:text-is('img2img')")
    page.wait_for_function(f"!document.querySelector('{NOTICE}').innerText.includes('zwx')")
    hidden.evaluate("style => style.remove()")
