"""The running host, as tests and the demo hold it."""

from __future__ import annotations

import base64
import contextlib
import importlib
import importlib.util
import io
import json
import os
import shlex
import sys
import threading
import types
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient


def import_k_diffusion() -> None:
    """`k_diffusion` as an empty package with its real path; its parts need torchvision for one unused import only."""
    package = types.ModuleType("k_diffusion")
    package.__path__ = importlib.util.find_spec("k_diffusion").submodule_search_locations
    is_there = importlib.util.find_spec("torchvision") is not None
    parts = () if is_there else ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    pretended = {name: types.ModuleType(name) for name in parts}
    sys.modules.update(pretended, k_diffusion=package)
    for name in ("utils", "sampling", "external"):
        setattr(package, name, importlib.import_module(f"k_diffusion.{name}"))
    for name in pretended:
        del sys.modules[name]


def start(data_dir: str | Path, extensions: list[str | Path] = (), flags: list[str] = ()) -> Host:
    """Boot the host in this process (once), with the API: `import modules` then means minihost's. `launch` serves the
    page too.

    `data_dir` holds models/, outputs/, extensions/ as in the WebUI; `extensions` are folders to load besides those in
    it; `flags` are command-line flags of the WebUI.
    """
    if "modules" in sys.modules:
        raise RuntimeError("A WebUI host is loaded in this process already; minihost needs a process of its own.")
    more = [part for folder in extensions for part in ("--minihost-extension", str(Path(folder).resolve()))]
    given = ["--data-dir", str(Path(data_dir).resolve()), "--api", *more, *flags]
    os.environ.update(COMMANDLINE_ARGS=shlex.join(given), GRADIO_ANALYTICS_ENABLED="false")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    if "k_diffusion" not in sys.modules:
        import_k_diffusion()
    from modules import script_callbacks, scripts, sd_models, shared

    sd_models.list_models()
    scripts.load_scripts()
    script_callbacks.ui_settings_callback()
    shared.opts.changed = lambda key: sd_models.reload_model_weights() if key == "sd_model_checkpoint" else None
    script_callbacks.before_ui_callback()
    return Host()


class HostResponseError(Exception):
    """The API answered with an error: `status` and the JSON `body`."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body = status, body


class Host:
    """`app` is the application, `client` a FastAPI TestClient; `shared`, `scripts` and `sd_models` are of `modules`."""

    def __init__(self):
        from modules import scripts, sd_models, shared, ui

        self.shared, self.sd_models, self.scripts = shared, sd_models, scripts
        self.demo = ui.create_ui()
        self._serve(FastAPI())

    def _serve(self, app) -> None:
        from modules import script_callbacks
        from modules.api.api import Api

        self.app, self.api = app, Api(app)
        script_callbacks.app_started_callback(self.shared.demo, app)
        self.client = TestClient(app, raise_server_exceptions=False)

    def launch(self, port: int | None = None, server_name: str = "127.0.0.1", block: bool = True) -> str:
        """Serve page and API. Without `block` in a thread, until `demo.close()`; returns the address."""
        from modules import _page

        self.shared.sd_model.eval()  # loaded now: the page shows which one it is
        self.shared.demo = self.demo
        app, url = _page.launch(self.demo, port, server_name)
        self._serve(app)
        if block:
            self.wait()
        return url

    def wait(self) -> None:
        """Until Ctrl+C."""
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        self.demo.close()

    def post(self, path: str, **body) -> dict:
        """The JSON answer; HostResponseError when it is an error."""
        return self._answer(self.client.post(path, json=body))

    def get(self, path: str) -> dict:
        return self._answer(self.client.get(path))

    @staticmethod
    def _answer(response):
        if response.status_code != 200:
            raise HostResponseError(response.status_code, response.json())
        return response.json()

    def txt2img(self, tab: str = "txt2img", **request) -> dict:
        """POST /sdapi/v1/txt2img; `info` is parsed."""
        answer = self.post(f"/sdapi/v1/{tab}", **request)
        return {**answer, "info": json.loads(answer["info"])}

    def img2img(self, **request) -> dict:
        """POST /sdapi/v1/img2img; `info` is parsed."""
        return self.txt2img("img2img", **request)

    @staticmethod
    def base64(image) -> str:
        """A PIL picture or a path as the API takes it."""
        if isinstance(image, (str, Path)):
            return base64.b64encode(Path(image).read_bytes()).decode()
        image.save(buffer := io.BytesIO(), format="PNG")
        return base64.b64encode(buffer.getvalue()).decode()

    @contextlib.contextmanager
    def options(self, **values):
        """Settings for the time of a `with`."""
        opts = self.shared.opts
        before = {key: getattr(opts, key) for key in values}
        try:
            for key, value in values.items():
                opts.set(key, value)
            yield opts
        finally:
            for key, value in before.items():
                opts.set(key, value)

    @contextlib.contextmanager
    def script(self, script):
        """An always-on script without components, in both tabs, for the time of a `with`."""
        vars(script).update(args_from=0, args_to=0, filename=script.filename or __file__)
        lists = [getattr(self.scripts, f"scripts_{tab}").alwayson_scripts for tab in ("txt2img", "img2img")]
        for scripts in lists:
            scripts.append(script)
        try:
            yield script
        finally:
            for scripts in lists:
                scripts.remove(script)
