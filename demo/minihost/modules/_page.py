"""Serves the page: gradio's server, with the scripts and styles of the host and of every extension in it."""

import json
import os
from pathlib import Path

import gradio as gr
from modules import _tasks, scripts, shared
from modules.paths import cmd_opts, data_path, script_path

_answer = gr.routes.templates.TemplateResponse


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
    flags = cmd_opts
    if not flags.no_gradio_queue:
        demo.queue(64)
    app, address, _ = demo.launch(
        server_name=server_name,
        server_port=port,
        auth=[tuple(pair.split(":", 1)) for pair in flags.gradio_auth.split(",")] if flags.gradio_auth else None,
        prevent_thread_lock=True,
        quiet=True,
        show_api=False,
        allowed_paths=[script_path, data_path, *flags.extensions],
        root_path=f"/{flags.subpath}" if flags.subpath else "",
    )
    # gradio answers pages of any origin; the WebUI does not
    app.user_middleware = [one for one in app.user_middleware if one.cls.__name__ != "CORSMiddleware"]
    app.middleware_stack = None
    app.add_api_route("/internal/progress", _tasks.told, methods=["POST"])
    app.add_api_route("/internal/ping", lambda: {}, methods=["GET"])
    return app, address
