"""One job at a time. What goes wrong in a job of the page is shown under its pictures."""
import functools
import html
import threading
import time

from modules import devices, errors, progress
from modules.shared import state

queue_lock = threading.Lock()


def job_of_page(function, on_error):
    """`function(task id, ...)` as a click calls it; an exception gives `on_error` and a line of HTML. The last output is HTML."""
    @functools.wraps(function)
    def run(task, *args, **kwargs):
        task, began = task or progress.create_task_id("page"), time.perf_counter()
        progress.add_task_to_queue(task)
        with queue_lock:
            state.begin(task)
            progress.start_task(task)
            try:
                outputs = list(function(task, *args, **kwargs))
            except Exception as error:
                errors.report("a job of the page failed", exc_info=True)
                outputs = [*on_error, f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"]
            finally:
                progress.finish_task(task)
                state.end()
                state.interrupted = state.skipped = state.stopping_generation = False
        devices.torch_gc()
        outputs[-1] += f"<p class='performance'>{time.perf_counter() - began:.1f} s</p>"
        return outputs

    return run
