"""One job at a time. What goes wrong in a job of the page is shown under its pictures."""
import html
import threading

from modules import errors, progress
from modules.shared import state

queue_lock = threading.Lock()


def run_for_page(task, function, *args):
    """`function(*args)` as a job with the id `task`; an exception gives empty outputs and a line of HTML as the last."""
    progress.add_task_to_queue(task)
    with queue_lock:
        state.begin(task)
        progress.start_task(task)
        try:
            return function(*args)
        except Exception as error:
            errors.report("a job of the page failed", exc_info=True)
            return None, "", "", f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"
        finally:
            progress.finish_task(task)
            state.end()
            state.interrupted = state.skipped = state.stopping_generation = False
