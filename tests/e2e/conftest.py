"""`page`: the panel on minihost in headless Chromium. One server and one browser per test session; requests never leave
127.0.0.1.

The server's download address is `hub`, a local server that plays Hugging Face as each test wishes.
PIA_WEBUI_URL: the address of a running WebUI on this machine; the tests then drive its page instead. It must have the
extension, a PIA model that fits the selected checkpoint, and `--api`; outputs land in its folders. The download's
address cannot be set through the API, so the tests of the download need a server of their own and are left out then.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from .hub import Hub

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120_000  # milliseconds: the machine may be busy


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """minihost in a process of its own."""

    is_foreign = False

    def __init__(self, folder: Path, flags: tuple[str, ...] = (), settings: dict | None = None) -> None:
        self.port, self.folder = free_port(), folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(
            json.dumps(
                {
                    "outdir_img2img_samples": str(folder / "outputs"),
                    "outdir_txt2img_samples": str(folder / "outputs"),
                    **(settings or {}),
                }
            )
        )
        self.log = (folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.serve", str(folder), str(self.port), *flags],
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.url = f"http://127.0.0.1:{self.port}/"

    def wait(self) -> Server:
        for end in (time.monotonic() + 300,):
            while time.monotonic() < end:
                if self.process.poll() is not None:
                    break
                try:
                    urllib.request.urlopen(self.url + "internal/ping", timeout=10).close()
                    return self
                except (urllib.error.URLError, OSError):
                    time.sleep(0.2)
        raise RuntimeError(
            "minihost did not start:\n" + (self.folder / "server.log").read_text(errors="replace")[-3000:]
        )

    def options(self, **values) -> None:
        """Changes settings through the API."""
        data = json.dumps(values).encode()
        request = urllib.request.Request(
            self.url + "sdapi/v1/options", data=data, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=120).close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def outputs(self) -> Path:
        return self.folder / "outputs"


class RunningHost(Server):
    """A WebUI that somebody else started."""

    is_foreign = True

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"

    def outputs(self) -> Path:
        with urllib.request.urlopen(self.url + "sdapi/v1/options", timeout=120) as answer:
            return Path(json.load(answer)["outdir_img2img_samples"])


@pytest.fixture(scope="package")
def hub():
    with Hub() as running:
        yield running


@pytest.fixture(scope="package")
def server(tmp_path_factory, hub):
    if os.environ.get("PIA_WEBUI_URL"):
        yield RunningHost(os.environ["PIA_WEBUI_URL"])
        return
    running = Server(tmp_path_factory.mktemp("e2e"), settings={"pia_download_url": hub.url + "pia.ckpt"})
    try:
        yield running.wait()
    finally:
        running.stop()


@pytest.fixture(scope="package")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("PIA_CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.fail("There is no Chromium; install it (Debian: apt-get install chromium) or name it in PIA_CHROMIUM.")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def open_page(browser, url: str, without: str = "", **context):
    """The WebUI's page; `page.problems` collects errors of its scripts. Files with `without` in their address are not
    answered."""
    page = browser.new_context(viewport={"width": 1280, "height": 1600}, **context).new_page()
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            page.problems.append(message.text) if "PIA" in message.text and message.type == "error" else None
        ),
    )
    page.route(
        "**/*",
        lambda route: (
            route.continue_()
            if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:"))
            and not (without and without in route.request.url)
            else route.abort()
        ),
    )
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector("#txt2img_prompt textarea")
    return page


@pytest.fixture(scope="package")
def loaded(browser, server):
    """One page for all tests that can share it: loading it is most of a test's time."""
    page = open_page(browser, server.url)
    yield page
    page.context.close()


@pytest.fixture
def page(loaded):
    """The shared page on the img2img tab, with the panel open and as it starts."""
    loaded.problems.clear()
    show_tab(loaded, "img2img")
    open_panel(loaded, "img2img")
    for tab in ("img2img", "txt2img"):
        loaded.evaluate(RESTORE, tab)
    yield loaded
    assert loaded.problems == []


RESTORE = """tab => {
    const panel = {tab, part: (name) => gradioApp().querySelector(`#${tab}_pia_${name}`)};
    for (const [name, value] of [["affinity", ""], ["motion", "animate"], ["magnitude", "moderate"], ["num_frames", 8],
                                 ["condition_frame", 0], ["fps", 8], ["color_match", 0], ["overlap", 0],
                                 ["anchor", 0]]) pia.write(panel, name, value);
    for (const [name, value] of [["width", 64], ["height", 64], ["steps", 2]]) {
        const field = gradioApp().querySelector(`#${tab}_${name} input[type=number]`);
        field.value = value;
        updateInput(field);
    }
}"""


def show_tab(page, name: str) -> None:
    page.click(f"#tabs > .tab-nav > button:text-is('{name}')")


def open_panel(page, tab: str) -> None:
    header = page.locator(f"#{tab}_pia_enabled > .label-wrap")
    if "open" not in (header.get_attribute("class") or "").split():
        header.click()
    page.wait_for_selector(f"#{tab}_pia_chart .pia-point")


def open_fold(page, fold: str, tab: str = "img2img") -> None:
    """Opens a fold of the panel, which is open itself."""
    header = page.locator(f"#{tab}_pia_{fold}_fold > .label-wrap")
    if "open" not in (header.get_attribute("class") or "").split():
        header.click()


def value(page, name: str, tab: str = "img2img") -> str:
    """What a component of the panel holds."""
    return page.evaluate(
        "([tab, name]) => pia.read({part: (part) => gradioApp().querySelector(`#${tab}_pia_${part}`)}, name)",
        [tab, name],
    )


def wait_value(page, name: str, wanted: str, tab: str = "img2img") -> None:
    page.wait_for_function(
        "([tab, name, wanted]) => "
        "pia.read({part: (part) => gradioApp().querySelector(`#${tab}_pia_${part}`)}, name) === wanted",
        arg=[tab, name, wanted],
    )


def draw_picture(path: Path, infotext: str = "", size: int = 64) -> Path:
    """A PNG with a disc, and an infotext."""
    image, text = Image.new("RGB", (size, size), (60, 120, 200)), PngInfo()
    ImageDraw.Draw(image).ellipse((size // 4, size // 4, size * 3 // 4, size * 3 // 4), fill=(250, 200, 60))
    if infotext:
        text.add_text("parameters", infotext)
    image.save(path, pnginfo=text)
    return path


def draw_clip(path: Path, frames: int = 12, step: int = 5) -> Path:
    """A GIF of a moving disc."""
    pictures = []
    for index in range(frames):
        picture = Image.new("RGB", (96, 64), (20, 40, 80))
        ImageDraw.Draw(picture).ellipse((2 + step * index, 20, 26 + step * index, 44), fill=(250, 220, 90))
        pictures.append(picture)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, loop=0)
    return path


@pytest.fixture(scope="package")
def clip_made(loaded, tmp_path_factory):
    """A clip of 8 frames made on the img2img tab: GIF and MP4."""
    show_tab(loaded, "img2img")
    open_panel(loaded, "img2img")
    loaded.evaluate(RESTORE, "img2img")
    picture = draw_picture(tmp_path_factory.mktemp("pictures") / "in.png")
    loaded.set_input_files("#img2img_image input[type=file]", picture)
    loaded.wait_for_selector("#img2img_image img")
    make_clip(loaded)
    return loaded


def make_clip(page) -> None:
    """Presses Generate on the img2img tab and waits for the clip."""
    page.fill("#img2img_prompt textarea", "a disc, 中文")
    wait_value(page, "num_frames", "8")
    clips = page.locator("#img2img_pia_player .pia-clip")
    before = clips.count()
    page.click("#img2img_generate")
    clips.nth(before).wait_for()
