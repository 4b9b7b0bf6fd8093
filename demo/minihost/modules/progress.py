"""Which task of the page runs and which ones wait; what the progress bar asks for."""
import base64
import io
import random
from types import SimpleNamespace
from typing import Any

from fastapi import Body
from modules.shared import opts, state

_tasks = SimpleNamespace(waiting=set(), running=None, done=[])


def create_task_id(task_type):
    return f"task({task_type}-{random.randrange(16 ** 7):07x})"


def add_task_to_queue(id_job):
    _tasks.waiting.add(id_job)


def start_task(id_task):
    _tasks.waiting.discard(id_task)
    _tasks.running = id_task


def finish_task(id_task):
    _tasks.running, _tasks.done = None, [*_tasks.done[-15:], id_task]


def told(request: dict[str, Any] = Body(...)) -> dict[str, Any]:         # noqa: B008
    """{"id_task", "id_live_preview": of the preview that the page has}"""
    task, known = request.get("id_task"), request.get("id_live_preview", -1)
    answer = {"active": task == _tasks.running, "queued": task in _tasks.waiting, "completed": task in _tasks.done,
              "id_live_preview": known, "progress": None, "eta": None, "live_preview": None, "textinfo": None}
    if not answer["active"]:
        return {**answer, "textinfo": None if answer["completed"] else "Waiting..."}
    answer.update(progress=min(state.share_done(), 1), textinfo=state.textinfo)
    state.set_current_image()
    if state.current_image is not None and state.id_live_preview != known:
        kind, buffer = opts.live_previews_image_format, io.BytesIO()
        state.current_image.save(buffer, format=kind)
        text = base64.b64encode(buffer.getvalue()).decode("ascii")
        answer.update(live_preview=f"data:image/{kind};base64,{text}", id_live_preview=state.id_live_preview)
    return answer
