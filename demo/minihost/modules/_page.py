"""Serves the page: gradio's server, with the scripts and styles of the host and of every extension in it. And one
job at a time, for the page and the API."""

import contextlib
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from fastapi import Body
from modules import scripts, shared
from modules.paths import cmd_opts, data_path, script_path

_answer = gr.routes.templates.TemplateResponse

_one_at_a_time = threading.Lock()
_tasks = SimpleNamespace(running=None, done=[])


@contextlib.contextmanager
def job(task, name):
    """Waits for its turn; inside, `state` is of this job, which the page knows as `task`."""
    with _one_at_a_time:
        shared.state.begin(name)
        _tasks.running = task
        try:
            yield
        finally:
            _tasks.running, _tasks.done = None, [*_tasks.done[-15:], task]
            shared.state.end()


def _told(id_task: str = Body(..., embed=True)) -> dict[str, Any]:
    """Of a task of the page: where it stands, and what the progress bar shows."""
    active = id_task == _tasks.running
    progress = (shared.state.share_done(), shared.state.textinfo) if active else (0, "Waiting...")
    return {"completed": id_task in _tasks.done, "progress": progress[0], "textinfo": progress[1]}


def _address(path):
    return f"file={os.path.abspath(path).removeprefix(os.getcwd() + os.sep)}?{os.path.getmtime(path)}"


def _additions():
    """The page's end of head and of body: the words of the chosen language, scripts; style sheets."""
    words = {}
    for file in scripts.list_scripts("localizations", ".json"):
        if Path(file.filename).stem == shared.opts.localization:
            words.update(json.loads(Path(file.path).read_text("utf-8")))
    lines = [f"<script>window.localization = {json.dumps(words)}</script>"]
    lines += [f'<script src="{_address(file.path)}"></script>' for file in scripts.list_scripts("javascript", ".js")]
    sheets = [f'<link rel="stylesheet" href="{_address(file.path)}">' for file in scripts.list_scripts("", "style.css")]
    return {"</head>": "\n".join(lines), "</body>": "\n".join(sheets)}


def launch(demo, port, server_name):
    """(the FastAPI application, the address); the server runs in a thread."""
    additions = _additions()

    def with_additions(*args, **kwargs):
        page = _answer(*args, **kwargs)
        for end, added in additions.items():
            page.body = page.body.replace(end.encode(), f"{added}{end}".encode())
        page.init_headers()
        return page

    gr.routes.templates.TemplateResponse = with_additions
    if not cmd_opts.no_gradio_queue:
        demo.queue(64)
    pairs = cmd_opts.gradio_auth.split(",") if cmd_opts.gradio_auth else []
    app, address, _ = demo.launch(
        server_name=server_name, server_port=port, prevent_thread_lock=True, quiet=True, show_api=False,
        auth=[tuple(pair.split(":", 1)) for pair in pairs] or None, root_path=f"/{cmd_opts.subpath or ''}".rstrip("/"),
        allowed_paths=[script_path, data_path, *cmd_opts.extensions],
    )  # fmt: skip
    # gradio answers pages of any origin; the WebUI does not
    app.user_middleware = [one for one in app.user_middleware if one.cls.__name__ != "CORSMiddleware"]
    app.middleware_stack = None
    app.add_api_route("/internal/progress", _told, methods=["POST"])
    app.add_api_route("/internal/ping", lambda: {}, methods=["GET"])
    return app, address
