"""One generation at a time; errors of the page's calls become a line of HTML."""
import contextlib
import html
import re
import time
from functools import wraps

from modules import devices, errors, fifo_lock, progress, shared

queue_lock = fifo_lock.FIFOLock()
_TASK = re.compile(r"task\(.*\)", re.DOTALL)


def wrap_queued_call(func):
    @wraps(func)
    def one_at_a_time(*args, **kwargs):
        with queue_lock:
            answer = func(*args, **kwargs)
        return answer

    return one_at_a_time


def wrap_gradio_gpu_call(func, extra_outputs=None):
    """A first argument "task(...)" is the id that the page asks about while it waits."""
    @wraps(func)
    def queued(*args, **kwargs):
        first = args[0] if args else None
        task = first if isinstance(first, str) and _TASK.fullmatch(first) else None
        if task:
            progress.add_task_to_queue(task)
        with queue_lock, _running(task):
            made = func(*args, **kwargs)
            progress.record_results(task, made)
        return made

    return wrap_gradio_call(queued, extra_outputs, True)


@contextlib.contextmanager
def _running(task):
    """The state and the page's progress bar, while a job runs."""
    shared.state.begin(task)
    progress.start_task(task)
    try:
        yield
    finally:
        progress.finish_task(task)
    shared.state.end()


def wrap_gradio_call(func, extra_outputs=None, add_stats=False):
    @wraps(func)
    def job(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        finally:
            state = shared.state
            state.skipped = state.interrupted = state.stopping_generation = False
            state.job_count, state.job = 0, ""

    return wrap_gradio_call_no_job(job, extra_outputs, add_stats)


def wrap_gradio_call_no_job(func, extra_outputs=None, add_stats=False):
    @wraps(func)
    def reported(*args, extra_outputs_array=extra_outputs, **kwargs):
        start = time.perf_counter()
        try:
            res = list(func(*args, **kwargs))
        except Exception as error:
            errors.report("a call from the page failed", exc_info=True)
            message = html.escape(f"{type(error).__name__}: {error}")
            res = [*([None, ""] if extra_outputs_array is None else extra_outputs_array), f"<div class='error'>{message}</div>"]
        devices.torch_gc()
        if add_stats:
            seconds = f"{time.perf_counter() - start:.1f} sec."
            res[-1] += f"<div class='performance'><p class='time'>Time taken: <span class='measurement'>{seconds}</span></p></div>"
        return tuple(res)

    return reported
