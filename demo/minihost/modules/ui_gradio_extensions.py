"""Puts JavaScript and style sheets, the host's and the extensions', into gradio's page."""
import os

import gradio as gr
from modules import localization, scripts, shared, util
from modules.paths import data_path, script_path

_original_response = gr.routes.templates.TemplateResponse


def webpath(fn):
    changed = os.stat(fn).st_mtime
    return f"file={util.truncate_path(fn)}?{changed}"


def javascript_html():
    files = [os.path.join(script_path, "script.js"), *(file.path for file in scripts.list_scripts("javascript", ".js"))]
    modules = [file.path for file in scripts.list_scripts("javascript", ".mjs")]
    head = [f"<script>{localization.localization_js(shared.opts.localization)}</script>"]
    head += [f'<script type="text/javascript" src="{webpath(path)}"></script>' for path in files]
    head += [f'<script type="module" src="{webpath(path)}"></script>' for path in modules]
    if shared.cmd_opts.theme:
        head.append(f"<script>set_theme({shared.cmd_opts.theme!r});</script>")
    return "\n".join(head) + "\n"


def css_html():
    files = [*scripts.list_files_with_name("style.css"), os.path.join(data_path, "user.css")]
    return "".join(f'<link rel="stylesheet" property="stylesheet" href="{webpath(path)}">' for path in files if os.path.isfile(path))


def reload_javascript():
    js, css = javascript_html().encode(), css_html().encode()

    def response(*args, **kwargs):
        page = _original_response(*args, **kwargs)
        page.body = page.body.replace(b"</head>", js + b"</head>").replace(b"</body>", css + b"</body>")
        page.init_headers()
        return page

    gr.routes.templates.TemplateResponse = response
