"""One job at a time; which task of the page runs and which ones wait; what the progress bar asks for."""

import contextlib
import threading
from types import SimpleNamespace
from typing import Any

from fastapi import Body
from modules.shared import state

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


def told(id_task: str = Body(..., embed=True)) -> dict[str, Any]:
    """Of a task of the page: where it stands, and what the progress bar shows."""
    active = id_task == _tasks.running
    progress = {"progress": state.share_done(), "textinfo": state.textinfo}
    waiting = {"progress": 0, "textinfo": "Waiting..."}
    return {"active": active, "completed": id_task in _tasks.done, **(progress if active else waiting)}
