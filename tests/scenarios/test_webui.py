"""What only the WebUI has: its scripts, its batch tab, refiner, styles and ui-config.json."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from .client import AnswerError
from .clips import BASE, animate, distance, latents, scripts, unpacked
from .pictures import encoded, moving, opened, picture

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("unharmed")]
GIF = {"num_frames": 3, "formats": ["gif"]}


def scripted(host, name, args, **request):
    """img2img's answer for a clip asked for through a script of the host."""
    start = {**BASE, "init_images": [encoded(picture())], "denoising_strength": 0.6}
    asked = {"script_name": name, "script_args": args, "alwayson_scripts": scripts(GIF, None)}
    return host.generate("img2img", {**start, **asked, **request})


def test_a_plot_holds_one_clip_per_cell(host):
    axes = [1, "1,2", [], 0, "", [], 0, "", []]
    switches = [True, True, False, False, False, False, False, 0, False]  # legend, lone pictures and so on
    answer = scripted(host, "x/y/z plot", axes + switches)
    clips = [image for image in map(opened, answer["images"]) if image.format == "GIF"]
    assert [clip.n_frames for clip in clips] == [3, 3]
    told = [(answer["images"][file["index"]], file["seed"]) for file in answer["info"]["pia"]]
    assert [seed for _, seed in told] == [1, 2]
    alone = animate(host, GIF, seed=2)["images"][0]
    assert [frame.tobytes() for frame in moving(told[1][0])] == [frame.tobytes() for frame in moving(alone)]


def test_prompts_from_a_text_are_one_clip_each(host):
    answer = scripted(host, "prompts from file or textbox", [False, False, "start", "a red star\na blue disc"])
    clips = [image for image in map(opened, answer["images"]) if image.format == "GIF"]
    assert [clip.n_frames for clip in clips] == [3, 3] and answer["images"][0] != answer["images"][1]


def test_a_prompt_matrix_is_one_clip_per_combination(host):
    answer = scripted(host, "prompt matrix", [False, False, "positive", "comma", 0], prompt="a red star|large")
    clips = [image for image in map(opened, answer["images"]) if image.format == "GIF"]
    assert len(clips) >= 2


def test_a_refiner_of_the_same_checkpoint_is_no_switch(host):
    name = host.get("/pia-probe/host")["checkpoint"]
    assert len(animate(host, refiner_checkpoint=name, refiner_switch_at=0.5)["images"]) == 4


def test_a_sampler_that_refuses_few_steps_says_so(host):
    with pytest.raises(AnswerError) as error:
        animate(host, sampler_name="UniPC", steps=1)
    assert error.value.status == 500


def test_values_of_the_panel_are_in_ui_config(host):
    data = Path(host.get("/pia-probe/host")["data"])
    values = json.loads((data / "ui-config.json").read_text())
    assert values["customscript/pia.py/img2img/Frames/value"] == 16


@pytest.fixture
def page(host):
    from playwright.sync_api import sync_playwright

    path = os.environ.get("PIA_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        opened_page = browser.new_page(viewport={"width": 1400, "height": 1400})
        opened_page.set_default_timeout(120_000)
        opened_page.goto(host.url, wait_until="domcontentloaded")
        opened_page.wait_for_function("typeof opts !== 'undefined' && Object.keys(opts).length > 0")
        yield opened_page
        browser.close()


@pytest.mark.browser
def test_the_batch_tab_makes_one_clip_per_picture(host, page, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name, turn in (("a", 0), ("b", 1)):
        picture(turn=turn).save(folder / f"{name}.png")
    page.click("#tabs > .tab-nav > button:text-is('img2img')")
    page.click("#mode_img2img > .tab-nav > button:text-is('Batch')")
    page.click("#img2img_batch_source > .tab-nav > button:text-is('From directory')")
    page.fill("#img2img_batch_input_dir textarea", str(folder))
    page.fill("#img2img_batch_output_dir textarea", str(out))
    page.check("#img2img_pia_enabled-visible-checkbox", force=True)
    for name, number in (("width", 64), ("height", 64), ("steps", 2), ("pia_num_frames", 4)):
        field = page.locator(f"#img2img_{name} input[type=number]")
        field.evaluate("(node, number) => { node.value = number; updateInput(node); }", number)
    page.fill("#img2img_prompt textarea", "a red star")
    page.wait_for_timeout(500)
    page.click("#img2img_generate")
    page.wait_for_function("document.querySelector('#html_info_img2img').innerText.length > 0", timeout=240_000)
    assert sorted(path.name for path in out.rglob("*.gif")) == ["00000-a.gif", "00001-b.gif"]


def test_styles_reach_the_prompt(host):
    styled = latents_beside(host, "style", styles=["pia scenario"])
    assert distance(styled, latents(host, prompt=f"{BASE['prompt']}, in snow")) == 0


def test_a_style_is_put_around_every_text_of_a_travelling_prompt(host):
    texts = "0: a red star\n3: a blue star"
    styled = latents_beside(host, "style", prompt=texts, styles=["pia scenario"])
    assert distance(styled, latents(host, prompt=f"{texts}\n\nin snow")) < 1e-4


def latents_beside(host, neighbour, **request):
    animate(host, None, {"latents": True, "neighbours": [neighbour]}, **request)
    return unpacked(host.probed()["latents"][-1])
