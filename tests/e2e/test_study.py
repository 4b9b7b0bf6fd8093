"""The pages of the evaluation, opened from disk as a participant and a reader would, by mouse and by keyboard alone."""

import json

import pytest

from lib_pia.evaluation.cli import main
from tests.unit.evaluation_toys import make_run

NAMES = [("m", 1, 1), ("m", 1, 2)]
SHOWN = "[...document.querySelectorAll('video')]"
ALL_PLAY = f"{SHOWN}.length === 3 && {SHOWN}.every(v => !v.paused && v.readyState >= 2)"
SECOND = "document.querySelector('#place').innerText === 'Question 2 of 2'"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a study of three methods with two questions, and of their scores."""
    folder = tmp_path_factory.mktemp("study")
    runs = [make_run(folder / name, f"Method-{name}", NAMES, seed) for seed, name in enumerate("xyz")]
    given = [part for run in runs for part in ("--run", str(run))]
    assert main(["study", *given, "--out", str(folder / "study.html")]) == 0
    assert main(["score", *given, "--clip", "none", "--out", str(folder / "score")]) == 0
    return folder


@pytest.fixture
def page(browser):
    """A page that may open files only."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else problems.append(request.url),
    )
    yield page
    context.close()
    assert problems == []


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")


def playing(page):
    return page.evaluate(f"{SHOWN}.map(v => !v.paused && v.readyState >= 2 && v.videoWidth)")


def test_a_participant_without_a_mouse(study, page, tmp_path, capsys):
    page.goto((study / "study.html").as_uri())
    page.keyboard.press("Tab")
    assert focused(page) == "begin"
    page.keyboard.press("Enter")
    page.wait_for_function(ALL_PLAY)
    assert playing(page) == [32, 32, 32] and page.inner_text("#place") == "Question 1 of 2"
    for choice in (1, 2):
        page.keyboard.press("Tab")
        assert focused(page) == "pause"
        page.keyboard.press("Tab")
        assert focused(page) == "text"
        page.keyboard.press("Space")
        for _ in range(choice):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Tab")
        assert focused(page) == "image"
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        if choice == 2:
            assert focused(page) == "back"
            page.keyboard.press("Tab")
        assert focused(page) == "next"
        page.keyboard.press("Enter")
    page.wait_for_selector("#end:not([hidden])")
    page.keyboard.press("Tab")
    assert focused(page) == "download"
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    given = json.loads(file.read_text())
    assert given["answers"] == [{"text": 1, "image": 0}, {"text": 2, "image": 0}]
    assert main(["tally", str(file), "--key", str(study / "study.key.json")]) == 0
    assert "1 participants, 2 answers per question" in capsys.readouterr().out


def test_an_open_question_is_said_and_answers_survive_a_reload(study, page):
    page.goto((study / "study.html").as_uri())
    page.click("#begin")
    page.check("#text label:nth-child(3) input")
    page.click("#next")
    assert page.inner_text("#missing") == "Please answer both questions." and focused(page) == "image"
    page.check("#image label:nth-child(2) input")
    page.click("#next")
    page.wait_for_function(SECOND)
    assert not page.is_checked("#text label:nth-child(3) input")
    page.click("#back")
    assert page.is_checked("#text label:nth-child(3) input")
    page.reload()
    page.click("#begin")
    page.wait_for_function(SECOND)


def test_the_clips_can_be_paused(study, page):
    page.goto((study / "study.html").as_uri())
    page.click("#begin")
    page.wait_for_function(ALL_PLAY)
    page.click("#pause")
    assert playing(page) == [False] * 3 and page.inner_text("#pause") == "Play the clips"


def test_less_motion_is_respected(study, page):
    page.emulate_media(reduced_motion="reduce")
    page.goto((study / "study.html").as_uri())
    page.click("#begin")
    assert playing(page) == [False] * 3 and page.inner_text("#pause") == "Play the clips"


def test_the_scores_show_moving_clips_side_by_side(study, page):
    page.goto((study / "score" / "index.html").as_uri())
    page.locator("section").first.scroll_into_view_if_needed()
    first = "[...document.querySelector('section').querySelectorAll('video')]"
    page.wait_for_function(f"{first}.length === 3 && {first}.every(v => !v.paused && v.videoWidth === 32)")
    boxes = page.evaluate(
        "[...document.querySelector('section').querySelectorAll('img, video')].map(e => e.getBoundingClientRect().top)"
    )
    assert len(boxes) == 4 and max(boxes) - min(boxes) < 1
    assert "frame difference" in page.inner_text("table") and page.locator("section").count() == 2
    page.focus("video")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('video').paused")
    page.uncheck("#play")
    page.wait_for_function("[...document.querySelectorAll('video')].every(v => v.paused)")
