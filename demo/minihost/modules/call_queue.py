"""One generation at a time; errors of the page's calls become a line of HTML."""
import html
import time
from functools import wraps

from modules import devices, errors, fifo_lock, progress, shared

queue_lock = fifo_lock.FIFOLock()


def wrap_queued_call(func):
    def locked(*args, **kwargs):
        with queue_lock:
            return func(*args, **kwargs)

    return locked


def wrap_gradio_gpu_call(func, extra_outputs=None):
    """A first argument "task(...)" is the id that the page asks about while it waits."""
    @wraps(func)
    def queued(*args, **kwargs):
        id_task = args[0] if args and isinstance(args[0], str) and args[0].startswith("task(") and args[0].endswith(")") else None
        if id_task is not None:
            progress.add_task_to_queue(id_task)
        with queue_lock:
            shared.state.begin(job=id_task)
            progress.start_task(id_task)
            try:
                res = func(*args, **kwargs)
                progress.record_results(id_task, res)
            finally:
                progress.finish_task(id_task)
            shared.state.end()
        return res

    return wrap_gradio_call(queued, extra_outputs=extra_outputs, add_stats=True)


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
