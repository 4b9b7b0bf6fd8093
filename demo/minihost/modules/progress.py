"""Which task of the page runs and which ones wait; what the progress bar asks for."""
from __future__ import annotations

import base64
import io
import random
import time
from types import SimpleNamespace
from typing import Any

from fastapi import Body
from modules.shared import opts, state

_tasks = SimpleNamespace(waiting={}, running=None, done=[])


def create_task_id(task_type):
    return f"task({task_type}-{random.randrange(16 ** 7):07x})"


def add_task_to_queue(id_job):
    _tasks.waiting[id_job] = time.time()


def start_task(id_task):
    _tasks.waiting.pop(id_task, None)
    _tasks.running = id_task


def finish_task(id_task):
    _tasks.running = None
    _tasks.done = [*_tasks.done[-15:], id_task]


def setup_progress_api(app):
    app.add_api_route("/internal/progress", told, methods=["POST"])


def told(request: dict[str, Any] = Body(...)) -> dict[str, Any]:         # noqa: B008
    """{"id_task", "id_live_preview": of the preview that the page has, "live_preview": wanted or not}"""
    task, known = request.get("id_task"), request.get("id_live_preview", -1)
    answer = {"active": task == _tasks.running, "queued": task in _tasks.waiting, "completed": task in _tasks.done,
              "id_live_preview": known, "progress": None, "eta": None, "live_preview": None, "textinfo": None}
    if not answer["active"]:
        return {**answer, "textinfo": None if answer["completed"] else "Waiting..."}
    done, elapsed = state.share_done(), time.time() - state.time_start
    answer.update(progress=min(done, 1), textinfo=state.textinfo, eta=elapsed / done - elapsed if done else None)
    if request.get("live_preview", True) and opts.live_previews_enable:
        state.set_current_image()
        if state.current_image is not None and state.id_live_preview != known:
            kind, buffer = opts.live_previews_image_format, io.BytesIO()
            state.current_image.save(buffer, format=kind)
            text = base64.b64encode(buffer.getvalue()).decode("ascii")
            answer.update(live_preview=f"data:image/{kind};base64,{text}", id_live_preview=state.id_live_preview)
    return answer
