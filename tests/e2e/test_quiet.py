"""The page stays quiet: the host's own scripts wait for 200 ms without a change of the document before they run."""

import pytest

from .conftest import open_page, show_tab

PLAYER = "#{}_pia_player "
COUNT = """milliseconds => new Promise((resolve) => {
    let count = 0;
    const observer = new MutationObserver((records) => { count += records.length; });
    observer.observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
    setTimeout(() => { observer.disconnect(); resolve(count); }, milliseconds);
})"""


@pytest.fixture(scope="module")
def reloaded(clip_made, browser, server):
    """A page that was loaded when the players had clips already."""
    page = open_page(browser, server.url)
    page.evaluate("window.updates = 0; onAfterUiUpdate(() => { window.updates += 1; });")
    yield page
    assert page.problems == []
    page.context.close()


def playing(page, tab):
    show_tab(page, tab)
    page.locator(f"{PLAYER.format(tab)}.pia-stage").scroll_into_view_if_needed()
    page.wait_for_function(
        "selector => { const video = document.querySelector(selector); return video && !video.paused; }",
        arg=PLAYER.format(tab) + "video",
    )


def test_the_hosts_own_scripts_run_beside_clips(reloaded):
    """Read by v1.10.1's script.js and ui.js: `opts` is filled by a callback of onAfterUiUpdate."""
    reloaded.wait_for_selector("#img2img_pia_player .pia-clip", state="attached")
    changed = "() => { document.body.append(document.createElement('i')); return window.updates > 0; }"
    reloaded.wait_for_function(changed, polling=1000)  # a change a second, 200 ms of quiet wanted
    reloaded.wait_for_function("Object.keys(opts).length > 5")


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_a_playing_clip_changes_nothing_in_the_document(reloaded, tab):
    playing(reloaded, tab)
    reloaded.wait_for_timeout(1500)  # until the tab itself has settled
    assert reloaded.evaluate(COUNT, 4000) <= 5


def test_hidden_players_do_not_play(reloaded):
    playing(reloaded, "img2img")
    state = "selector => document.querySelector(selector).paused"
    show_tab(reloaded, "PNG Info")
    for tab in ("img2img", "txt2img"):
        reloaded.wait_for_function(state, arg=PLAYER.format(tab) + "video")
    playing(reloaded, "img2img")
    assert reloaded.evaluate(state, PLAYER.format("txt2img") + "video")
