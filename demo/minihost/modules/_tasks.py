"""One job at a time; which task of the page runs and which ones wait; what the progress bar asks for."""

import base64
import contextlib
import io
import threading
from types import SimpleNamespace
from typing import Any

from fastapi import Body
from modules.shared import opts, state

_one_at_a_time = threading.Lock()
_tasks = SimpleNamespace(waiting=set(), running=None, done=[])


@contextlib.contextmanager
def job(task, name):
    """Waits for its turn; inside, `state` is of this job, which the page knows as `task`."""
    _tasks.waiting.add(task)
    with _one_at_a_time:
        state.begin(name)
        _tasks.waiting.discard(task)
        _tasks.running = task
        try:
            yield
        finally:
            _tasks.running, _tasks.done = None, [*_tasks.done[-15:], task]
            state.end()


def told(request: dict[str, Any] = Body(...)) -> dict[str, Any]:  # noqa: B008
    """{"id_task", "id_live_preview": of the preview that the page has}"""
    task, known = request.get("id_task"), request.get("id_live_preview", -1)
    answer = {"active": task == _tasks.running, "queued": task in _tasks.waiting, "completed": task in _tasks.done}
    answer.update(id_live_preview=known, progress=None, live_preview=None)
    if not answer["active"]:
        return {**answer, "textinfo": None if answer["completed"] else "Waiting..."}
    answer.update(progress=state.share_done(), textinfo=state.textinfo)
    state.set_current_image()
    if state.current_image is not None and state.id_live_preview != known:
        kind, buffer = opts.live_previews_image_format, io.BytesIO()
        state.current_image.save(buffer, format=kind)
        text = base64.b64encode(buffer.getvalue()).decode("ascii")
        answer.update(live_preview=f"data:image/{kind};base64,{text}", id_live_preview=state.id_live_preview)
    return answer
