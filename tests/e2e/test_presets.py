"""Presets on the page: choosing fills the controls, saving keeps them."""

from .conftest import value, wait_value


def choose(page, name):
    field = page.locator("#img2img_pia_preset input")
    field.click()
    field.fill(name)
    field.press("Enter")


def message(page, part):
    page.wait_for_function(
        "part => document.querySelector('#img2img_pia_preset_message').innerText.includes(part)", arg=part
    )


def test_a_preset_fills_the_controls_and_own_ones_come_back(page):
    choose(page, "Long chain")
    wait_value(page, "num_frames", "64")
    wait_value(page, "magnitude", "small")
    wait_value(page, "overlap", "8")
    number = page.locator("#img2img_pia_num_frames input[type=number]")
    number.evaluate("node => { node.value = 24; updateInput(node); }")
    choose(page, "mine")
    assert value(page, "num_frames") == "24"  # a name that is not there yet changes nothing
    page.click("#img2img_pia_preset_save")
    page.wait_for_timeout(500)
    choose(page, "Gentle, loop")
    wait_value(page, "motion", "loop")
    wait_value(page, "num_frames", "16")
    choose(page, "mine")
    wait_value(page, "num_frames", "24")
    wait_value(page, "motion", "animate")


def test_a_name_of_the_extensions_own_is_refused(page):
    choose(page, "Large motion")
    page.click("#img2img_pia_preset_save")
    message(page, "comes with the extension; choose another name.")
