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

    def __init__(self, data_dir: Path, api, demo):
        import modules
        from fastapi.testclient import TestClient
        from modules import scripts, sd_models, shared

        self.data_dir, self.api, self.demo, self.app = data_dir, api, demo, api.app
        self.modules, self.shared, self.sd_models, self.scripts = modules, shared, sd_models, scripts
        self.client = TestClient(self.app, raise_server_exceptions=False)

    @classmethod
    def start(cls, data_dir: Path, extensions: list[Path], flags: list[str], page: bool) -> Host:
        named = [part for folder in extensions for part in ("--minihost-extension", str(folder))]
        boot.prepare(["--data-dir", str(data_dir), "--api", "--no-half", *named, *flags])
        from modules import shared_init

        shared_init.initialize()
        from modules import initialize, script_callbacks

        initialize.initialize()
        script_callbacks.before_ui_callback()
        demo, app = cls._interface(page)
        from modules import shared
        from modules.api.api import Api
        from modules.call_queue import queue_lock

        shared.demo = demo
        api = Api(app, queue_lock)
        script_callbacks.app_started_callback(demo, app)
        return cls(data_dir, api, demo)

    @staticmethod
    def _interface(page: bool):
        """(gradio Blocks or None, FastAPI application). Without a page only the scripts' components are made."""
        if page:
            from modules import _page

            return _page.build()
        import gradio as gr
        from fastapi import FastAPI
        from modules import scripts

        for runner, is_img2img in ((scripts.scripts_txt2img, False), (scripts.scripts_img2img, True)):
            runner.initialize_scripts(is_img2img)
            with gr.Blocks():
                runner.prepare_ui()
                runner.setup_ui()
        return None, FastAPI()

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
        before = {key: opts.data[key] for key in values}
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

    def launch(self, port: int | None = None, server_name: str = "127.0.0.1", block: bool = True):
        """Serve page and API; without `block` in a thread: (uvicorn server with `should_exit`, port)."""
        from modules import _page

        return _page.serve(self, port, server_name, block)
