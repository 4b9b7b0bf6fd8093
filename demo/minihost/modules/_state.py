"""The running job, as the page and the API see it while it runs."""

import datetime
import threading
import time

from modules import errors

FRESH = dict.fromkeys("job_no sampling_step sampling_steps current_image_sampling_step id_live_preview".split(), 0)
FRESH |= dict.fromkeys("current_latent current_image textinfo".split())
FRESH |= dict.fromkeys("skipped interrupted stopping_generation".split(), False)
TOLD = "skipped interrupted stopping_generation job job_count job_timestamp job_no sampling_step sampling_steps".split()


class State:
    def __init__(self):
        vars(self).update(FRESH, job="", job_count=0, job_timestamp="0", time_start=None)
        self.ended = threading.Event()  # set by who wants the program to end

    def begin(self, job):
        """A job starts. Its number of parts is -1 until it is known."""
        stamp = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
        vars(self).update(FRESH, job=job, job_count=-1, job_timestamp=stamp, time_start=time.time())

    def end(self):
        self.job_count, self.job = 0, ""

    def nextjob(self):
        vars(self).update(job_no=self.job_no + 1, sampling_step=0, current_image_sampling_step=0)

    def interrupt(self):
        self.interrupted = True

    def skip(self):
        self.skipped = True

    def stop_generating(self):
        self.stopping_generation = True

    def dict(self):
        return {name: getattr(self, name) for name in TOLD}

    def share_done(self):
        """0 to 1."""
        part = self.sampling_step / self.sampling_steps if self.sampling_steps else 0
        return min((self.job_no + part) / self.job_count, 1) if self.job_count > 0 else 0

    def set_current_image(self):
        """A new preview, if enough steps have passed since the last one."""
        from modules.shared import opts

        if self.sampling_step >= self.current_image_sampling_step + opts.show_progress_every_n_steps:
            self.do_set_current_image()

    def do_set_current_image(self):
        from modules import sd_samplers, shared

        step, show = self.sampling_step, sd_samplers.sample_to_image
        if shared.opts.show_progress_grid:
            show = sd_samplers.samples_to_image_grid
        try:
            if self.current_latent is not None:
                self.assign_current_image(show(self.current_latent))
                self.current_image_sampling_step = step
        except Exception:  # for example the model was moved to another device meanwhile
            errors.record_exception()

    def assign_current_image(self, image):
        self.current_image, self.id_live_preview = image, self.id_live_preview + 1
