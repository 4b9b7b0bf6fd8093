"""What the running job is doing; the page and the API read it while it runs."""
import datetime
import logging
import threading
import time
from typing import Optional

from modules import errors, shared

log = logging.getLogger(__name__)


class State:
    skipped = False
    interrupted = False
    stopping_generation = False
    job = ""
    job_no = 0
    job_count = 0
    processing_has_refined_job_count = False
    job_timestamp = '0'
    sampling_step = 0
    sampling_steps = 0
    current_latent = None
    current_image = None
    current_image_sampling_step = 0
    id_live_preview = 0
    textinfo = None
    time_start = None
    server_start = None
    _server_command_signal = threading.Event()
    _server_command: Optional[str] = None          # noqa: UP045

    def __init__(self):
        self.server_start = time.time()

    @property
    def server_command(self):
        return self._server_command

    @server_command.setter
    def server_command(self, value: Optional[str]) -> None:        # noqa: UP045
        self._server_command = value
        self._server_command_signal.set()

    @property
    def need_restart(self) -> bool:
        return self.server_command == "restart"

    @need_restart.setter
    def need_restart(self, value: bool) -> None:
        if value:
            self.server_command = "restart"

    def wait_for_server_command(self, timeout: Optional[float] = None) -> Optional[str]:      # noqa: UP045
        """The command of `server_command`, once; None when none came within `timeout` seconds."""
        if not self._server_command_signal.wait(timeout):
            return None
        self._server_command_signal.clear()
        command, self._server_command = self._server_command, None
        return command

    def request_restart(self) -> None:
        self.interrupt()
        self.server_command = "restart"

    def skip(self):
        self.skipped = True

    def interrupt(self):
        self.interrupted = True

    def stop_generating(self):
        self.stopping_generation = True

    def nextjob(self):
        only_at_ends = shared.opts.show_progress_every_n_steps == -1
        if only_at_ends and shared.opts.live_previews_enable:
            self.do_set_current_image()
        self.job_no += 1
        self.sampling_step = self.current_image_sampling_step = 0

    def dict(self):
        keys = ("skipped", "interrupted", "stopping_generation", "job", "job_count", "job_timestamp", "job_no", "sampling_step",
                "sampling_steps")
        return {key: getattr(self, key) for key in keys}

    def begin(self, job: str = "(unknown)"):
        self.job = job
        self.job_count, self.job_no = -1, 0
        self.sampling_step = self.current_image_sampling_step = self.id_live_preview = 0
        self.skipped = self.interrupted = self.stopping_generation = self.processing_has_refined_job_count = False
        self.current_latent = self.current_image = self.textinfo = None
        now = datetime.datetime.now()
        self.time_start, self.job_timestamp = time.time(), f"{now:%Y%m%d%H%M%S}"

    def end(self):
        log.info("job %s took %.2f s", self.job, time.time() - self.time_start)
        self.job, self.job_count = "", 0

    def set_current_image(self):
        """Make the preview picture if enough steps have passed since the last one."""
        period = shared.opts.show_progress_every_n_steps
        due = self.sampling_step - self.current_image_sampling_step >= period
        if shared.parallel_processing_allowed and shared.opts.live_previews_enable and period != -1 and due:
            self.do_set_current_image()

    def do_set_current_image(self):
        from modules import sd_samplers

        make = {True: sd_samplers.samples_to_image_grid}.get(shared.opts.show_progress_grid, sd_samplers.sample_to_image)
        latent, step = self.current_latent, self.sampling_step
        try:
            if latent is not None:
                self.assign_current_image(make(latent))
                self.current_image_sampling_step = step
        except Exception:
            errors.record_exception()

    def assign_current_image(self, image):
        to_rgb = image.mode in {"P", "RGBA"} and shared.opts.live_previews_image_format == "jpeg"
        self.current_image = image.convert("RGB") if to_rgb else image
        self.id_live_preview += 1
