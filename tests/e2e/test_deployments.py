"""One more host, as people run it elsewhere: behind a proxy under a sub-path, with passwords, without gradio's queue,
in Chinese, with saved values in ui-config.json."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import PATIENCE, Server, open_panel, show_tab, wait_value

PREFIX = "/pictures"


class _Unredirected(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def proxy_handler(port: int) -> type[BaseHTTPRequestHandler]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Unredirected)

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(PREFIX + "/"):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            headers = {
                name: text
                for name, text in self.headers.items()
                if name.lower() not in ("content-length", "connection")
            }
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{self.path[len(PREFIX) :]}", data=body, headers=headers, method=self.command
            )
            try:
                answer = opener.open(request, timeout=300)
            except urllib.error.HTTPError as error:
                answer = error
            data = answer.read()
            self.send_response(answer.status)
            for name, text in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                    self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_HEAD = forward

        def log_message(self, *_) -> None:
            pass

    return Proxy


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "ui-config.json").write_text(json.dumps({"customscript/pia.py/img2img/Frames/value": 12}))
    server = Server(
        folder,
        ("--subpath", PREFIX[1:], "--gradio-auth", "me:secret", "--api-auth", "api:other", "--no-gradio-queue"),
        {"localization": "zh_CN"},
    )
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), proxy_handler(server.port))
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        server.wait()
        yield f"http://127.0.0.1:{proxy.server_port}{PREFIX}/"
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


@pytest.fixture(scope="module")
def elsewhere(browser, address):
    context = browser.new_context(viewport={"width": 420, "height": 1200}, color_scheme="dark")
    context.request.post(address + "login", form={"username": "me", "password": "secret"})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.route(
        "**/*",
        lambda route: (
            route.continue_() if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:")) else route.abort()
        ),
    )
    page.goto(address + "?__theme=dark", wait_until="domcontentloaded")
    page.wait_for_selector("#txt2img_prompt textarea")
    show_tab(page, "img2img")
    open_panel(page, "img2img")
    yield page
    context.close()


def test_the_curve_is_there_with_the_saved_number_of_frames(elsewhere):
    wait_value(elsewhere, "num_frames", "12")
    elsewhere.wait_for_function("document.querySelectorAll('#img2img_pia_chart .pia-dot').length === 12")


def test_the_words_are_chinese(elsewhere):
    assert "自由运动" in elsewhere.inner_text("#img2img_pia_chart")
    assert "重置曲线" in elsewhere.inner_text("#img2img_pia_chart")


def test_the_panel_fits_a_narrow_dark_page(elsewhere):
    plot = elsewhere.locator("#img2img_pia_chart svg").bounding_box()
    assert plot["x"] >= 0 and plot["x"] + plot["width"] <= 420
    light, dark = elsewhere.evaluate("""() => ["color", "backgroundColor"].map((name) => {
        const style = getComputedStyle(document.querySelector("#img2img_pia_chart .pia-reset"));
        const [r, g, b] = style[name].match(/[0-9.]+/g).map(Number);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    })""")
    assert light - dark > 100


def test_strangers_get_nothing_and_api_clients_their_routes(elsewhere, address):
    def ask(path, *auth):
        request = urllib.request.Request(address + path)
        if auth:
            request.add_header(
                "Authorization", "Basic " + __import__("base64").b64encode(":".join(auth).encode()).decode()
            )
        try:
            return urllib.request.urlopen(request, timeout=120).status
        except urllib.error.HTTPError as error:
            return error.code

    assert [ask("pia/v1/models"), ask("pia/v1/clips"), ask("pia/v1/status")] == [401, 401, 401]
    assert [ask("pia/v1/models", "api", "other"), ask("pia/v1/clips", "api", "other")] == [200, 200]
    assert elsewhere.evaluate("pia.call('clips')") == []


def test_parts_that_are_missing_break_nothing(elsewhere):
    elsewhere.evaluate(
        "for (const name of ['affinity', 'condition_frame', 'model']) "
        "document.querySelector(`#img2img_pia_${name}`).remove()"
    )
    elsewhere.locator("#img2img_pia_chart .pia-point").nth(1).focus()
    elsewhere.keyboard.press("ArrowUp")
    elsewhere.locator("#img2img_pia_magnitude label").nth(2).click()
    elsewhere.wait_for_function("document.querySelectorAll('#img2img_pia_chart .pia-dot').length === 12")
    assert elsewhere.problems == []


def test_reloading_the_page_brings_the_panel_back(elsewhere):
    elsewhere.reload(wait_until="domcontentloaded")
    elsewhere.wait_for_selector("#txt2img_prompt textarea")
    show_tab(elsewhere, "img2img")
    open_panel(elsewhere, "img2img")
    assert elsewhere.problems == []
