"""Which task runs and which wait, for the page's polling."""
import base64
import io
import random
import string
import time
from collections import OrderedDict

from modules import shared
from modules.shared import opts
from pydantic import BaseModel, Field

current_task = None
pending_tasks = OrderedDict()
finished_tasks = []
recorded_results = []
recorded_results_limit = 2


def start_task(id_task):
    global current_task
    current_task = id_task
    pending_tasks.pop(id_task, None)


def finish_task(id_task):
    global current_task
    if current_task == id_task:
        current_task = None
    finished_tasks[:] = [*finished_tasks[-15:], id_task]


def create_task_id(task_type):
    return f"task({task_type}-{''.join(random.choices(string.ascii_uppercase + string.digits, k=7))})"


def record_results(id_task, res):
    recorded_results.append((id_task, res))
    del recorded_results[:-recorded_results_limit]


def add_task_to_queue(id_job):
    pending_tasks[id_job] = time.time()


class ProgressRequest(BaseModel):
    id_task: str = Field(default=None)
    id_live_preview: int = Field(default=-1)
    live_preview: bool = Field(default=True)


class ProgressResponse(BaseModel):
    active: bool
    queued: bool
    completed: bool
    progress: float = Field(default=None)
    eta: float = Field(default=None)
    live_preview: str = Field(default=None)
    id_live_preview: int = Field(default=None)
    textinfo: str = Field(default=None)


def setup_progress_api(app):
    app.add_api_route("/internal/progress", endpoint=progressapi, response_model=ProgressResponse, methods=["POST"])


def _preview(known_id):
    """(data URI or None, id) of the latest preview, unless the page has it."""
    shared.state.set_current_image()
    image = shared.state.current_image
    if image is None or shared.state.id_live_preview == known_id:
        return None, known_id
    buffer = io.BytesIO()
    image.save(buffer, format=opts.live_previews_image_format)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{opts.live_previews_image_format};base64,{text}", shared.state.id_live_preview


def progressapi(req: ProgressRequest):
    state, queued = shared.state, req.id_task in pending_tasks
    if req.id_task != current_task:
        return ProgressResponse(active=False, queued=queued, completed=req.id_task in finished_tasks, id_live_preview=-1,
                                textinfo="Waiting..." if queued or req.id_task not in finished_tasks else "")
    done = 0
    if state.job_count > 0:
        done = (state.job_no + (state.sampling_step / state.sampling_steps if state.sampling_steps > 0 else 0)) / state.job_count
    elapsed = time.time() - state.time_start
    wants_preview = req.live_preview and opts.live_previews_enable
    preview, preview_id = _preview(req.id_live_preview) if wants_preview else (None, req.id_live_preview)
    eta = elapsed / done - elapsed if done else None
    return ProgressResponse(active=True, queued=queued, completed=False, progress=min(done, 1), eta=eta, live_preview=preview,
                            id_live_preview=preview_id, textinfo=state.textinfo)
