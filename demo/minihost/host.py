"""The running host, as tests and the demo hold it."""
from __future__ import annotations

import base64
import contextlib
import io
import json
from pathlib import Path

from . import boot


class HostResponseError(Exception):
    """The API answered with an error: `status` and the JSON `body`."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body = status, body


class Host:
    """`modules` is the package as the extension sees it; `client` a FastAPI TestClient; `app` the FastAPI application."""

    def __init__(self, data_dir: Path, extensions: list[Path]):
        import modules
        from modules import scripts, sd_models, shared

        self.data_dir, self.extensions = data_dir, extensions
        self.modules, self.shared, self.sd_models, self.scripts = modules, shared, sd_models, scripts
        self.url = None

    @classmethod
    def start(cls, data_dir: Path, extensions: list[Path], flags: list[str]) -> Host:
        named = [part for folder in extensions for part in ("--minihost-extension", str(folder))]
        boot.prepare(["--data-dir", str(data_dir), "--api", "--no-half", *named, *flags])
        from modules import _notice_components, paths, script_callbacks, scripts, sd_models, sd_vae, shared  # noqa: F401

        sd_models.list_models()
        sd_vae.refresh_vae_list()
        scripts.load_scripts()
        script_callbacks.ui_settings_callback()
        shared.opts.onchange("sd_model_checkpoint", sd_models.reload_model_weights, call=False)
        shared.opts.onchange("sd_vae", sd_vae.reload_vae_weights, call=False)
        script_callbacks.before_ui_callback()
        host = cls(data_dir, extensions)
        host._serve_api()
        return host

    def _serve_api(self) -> None:
        """The API without a page: only the scripts' components are made, in no page's Blocks."""
        import gradio as gr
        from fastapi import FastAPI

        for runner, is_img2img in ((self.scripts.scripts_txt2img, False), (self.scripts.scripts_img2img, True)):
            runner.initialize_scripts(is_img2img)
            with gr.Blocks():
                runner.prepare_ui()
                for section in {script.section for script in runner.alwayson_scripts} - {None}:
                    runner.setup_ui_for_section(section)
                runner.setup_ui()
        self._use(None, FastAPI())

    def _use(self, demo, app) -> None:
        from fastapi.testclient import TestClient
        from modules import script_callbacks
        from modules.api.api import Api

        self.shared.demo = self.demo = demo
        self.app, self.api = app, Api(app)
        script_callbacks.app_started_callback(demo, app)
        self.client = TestClient(app, raise_server_exceptions=False)

    def launch(self, port: int | None = None, server_name: str = "127.0.0.1", block: bool = True) -> str:
        """Serve page and API. Without `block` in a thread, until `close`; returns the address."""
        from modules import _page, ui

        assert self.shared.sd_model is not None, "no checkpoint could be loaded"        # the page shows which one it is
        demo = ui.create_ui()
        app, self.url = _page.launch(demo, port, server_name)
        self._use(demo, app)
        if block:
            self.wait()
        return self.url

    def wait(self) -> None:
        """Until `state.ended` is set, or Ctrl+C."""
        with contextlib.suppress(KeyboardInterrupt):
            self.shared.state.ended.wait()
        self.close()

    def close(self) -> None:
        """Stop the page's server."""
        if self.demo is not None:
            self.demo.close()
            self._serve_api()

    def post(self, path: str, **body) -> dict:
        """The JSON answer; HostResponseError when it is an error."""
        response = self.client.post(path, json=body)
        if response.status_code != 200:
            raise HostResponseError(response.status_code, response.json())
        return response.json()

    def get(self, path: str) -> dict:
        response = self.client.get(path)
        if response.status_code != 200:
            raise HostResponseError(response.status_code, response.json())
        return response.json()

    def txt2img(self, **request) -> dict:
        """POST /sdapi/v1/txt2img; `info` is parsed."""
        answer = self.post("/sdapi/v1/txt2img", **request)
        return {**answer, "info": json.loads(answer["info"])}

    def img2img(self, **request) -> dict:
        """POST /sdapi/v1/img2img; `info` is parsed."""
        answer = self.post("/sdapi/v1/img2img", **request)
        return {**answer, "info": json.loads(answer["info"])}

    @staticmethod
    def base64(image) -> str:
        """A PIL picture or a path as the API takes it."""
        if isinstance(image, (str, Path)):
            return base64.b64encode(Path(image).read_bytes()).decode()
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return base64.b64encode(buffer.getvalue()).decode()

    @staticmethod
    def picture(text: str):
        """The PIL picture of a base64 string."""
        from PIL import Image

        return Image.open(io.BytesIO(base64.b64decode(text)))

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
        runners = self.scripts.scripts_txt2img, self.scripts.scripts_img2img
        script.args_from = script.args_to = 0
        script.filename = script.filename or __file__
        for runner in runners:
            runner.scripts.append(script)
            runner.alwayson_scripts.append(script)
        try:
            yield script
        finally:
            for runner in runners:
                runner.scripts.remove(script)
                runner.alwayson_scripts.remove(script)
