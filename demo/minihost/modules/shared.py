"""What everybody shares: flags, settings, the running job, and (loaded when first asked for) the model."""

import dataclasses
import datetime
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from modules import errors
from modules.paths import cmd_opts, data_path, script_path  # noqa: F401
from PIL import Image

# settings, and what a request may say
_defaults = Path(script_path, "defaults.yaml").read_text("utf-8")
DEFAULTS = yaml.safe_load(_defaults.replace("OUT/", f"{data_path}/outputs/"))


@dataclasses.dataclass
class OptionInfo:
    default: Any = None
    label: str = ""
    component: Any = None
    component_args: Any = None
    section: tuple | None = None
    restrict_api: bool = False

    def info(self, text=""):
        """A remark for the settings page, which is not here."""
        return self

    needs_reload_ui = info


class Options:
    """Values by attribute: those of `data`, else the default of the description in `data_labels`."""

    def __init__(self, file: Path):
        labels = {key: OptionInfo(default) for rows in DEFAULTS["settings"].values() for key, default in rows.items()}
        stored = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        vars(self).update(data_labels=labels, data=stored, file=file, changed=lambda key: None)

    def __getattr__(self, key):
        if key in self.data:
            return self.data[key]
        if key in self.data_labels:
            return self.data_labels[key].default
        raise AttributeError(f"there is no setting {key}")

    def __setattr__(self, key, value):
        (vars(self) if key in vars(self) else self.data)[key] = value

    def set(self, key, value, is_api=False, run_callbacks=True):
        """KeyError where there is no such setting; where `changed(key)` fails, the value is taken back."""
        info, before = self.data_labels[key], getattr(self, key)
        if before == value or (is_api and info.restrict_api):
            return
        self.data[key] = value
        try:
            if run_callbacks:
                self.changed(key)
        except Exception:
            errors.report(f"the setting {key} could not be changed", exc_info=True)
            self.data[key] = before

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def all(self):
        return {key: getattr(self, key) for key in self.data_labels}

    def save(self):
        self.file.write_text(json.dumps(self.data, indent=2, ensure_ascii=False), "utf-8")


OF_A_JOB = dict.fromkeys("job_no sampling_step sampling_steps current_image_sampling_step id_live_preview".split(), 0)
OF_A_JOB |= dict.fromkeys("current_latent current_image textinfo".split())
OF_A_JOB |= dict.fromkeys("skipped interrupted stopping_generation".split(), False)
TOLD = "skipped interrupted stopping_generation job job_count job_timestamp job_no sampling_step sampling_steps".split()


class State:
    """The running job, as the page and the API see it while it runs."""

    def __init__(self):
        vars(self).update(OF_A_JOB, job="", job_count=0, job_timestamp="0", time_start=None)

    def begin(self, job):
        """A job starts. Its number of parts is -1 until it is known."""
        stamp = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
        vars(self).update(OF_A_JOB, job=job, job_count=-1, job_timestamp=stamp, time_start=time.time())

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
        if self.sampling_step >= self.current_image_sampling_step + opts.show_progress_every_n_steps:
            self.do_set_current_image()

    def do_set_current_image(self):
        from modules import sd_samplers, sd_samplers_common

        show = sd_samplers_common.samples_to_image_grid if opts.show_progress_grid else sd_samplers.sample_to_image
        try:
            if self.current_latent is not None:
                self.assign_current_image(show(self.current_latent))
                self.current_image_sampling_step = self.sampling_step
        except Exception:  # for example the model was moved to another device meanwhile
            errors.record_exception()

    def assign_current_image(self, image):
        self.current_image, self.id_live_preview = image, self.id_live_preview + 1


def _upscaler(name, resample):
    """One that needs no model, to multiples of 8 pixels; "None" leaves a picture to the last resizing."""

    def upscale(img, scale, selected_model=None):
        return img.resize([int(side * scale) // 8 * 8 for side in img.size], resample)

    return SimpleNamespace(name=name, data_path=None, scaler=SimpleNamespace(upscale=upscale))


RESAMPLES = {"None": Image.LANCZOS, "Lanczos": Image.LANCZOS, "Nearest": Image.NEAREST}
sd_upscalers = [_upscaler(*upscaler) for upscaler in RESAMPLES.items()]
opts, state = Options(Path(data_path, "config.json")), State()
parallel_processing_allowed = True  # previews are made beside the sampling, not between its steps
demo = None  # the page, once it is served


def __getattr__(name):
    if name != "sd_model":
        raise AttributeError(f"modules.shared has no {name}")
    from modules import sd_models

    return sd_models.model_data.get_sd_model()


def walk_files(path, allowed_extensions=None):
    """Every file below `path` whose suffix (lower case, with the dot) is allowed, "2" before "10"."""

    def with_numbers(name):
        return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", name)]

    for folder, inner, names in os.walk(path, followlinks=True):
        inner.sort(key=with_numbers)
        for name in sorted(names, key=with_numbers):
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in allowed_extensions:
                yield os.path.join(folder, name)
