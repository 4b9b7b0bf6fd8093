"""modules.images, first half: file names from patterns such as "[seed]-[prompt_words]"."""
import datetime
import functools
import hashlib
import os
import re
import string

from modules import errors, shared
from modules.shared import opts

NOTHING_AND_SKIP_PREVIOUS_TEXT = object()
invalid_filename_chars = "/" if shared.cmd_opts.unix_filenames_sanitization else '#<>:"/\\|?*\n\r\t'
max_filename_part_length = shared.cmd_opts.filenames_max_length
_PATTERN = re.compile(r"([^\[\]]*)\[([^\[\]]+)\]")
_ARGUMENT = re.compile(r"<([^>]*)>")


def sanitize_filename_part(text, replace_spaces=True):
    """`text` without characters that a file name cannot have, at most `max_filename_part_length` long."""
    if text is None:
        return None
    text = "".join("_" if c in invalid_filename_chars or (replace_spaces and c == " ") else c for c in text)
    return text.lstrip(" ")[:max_filename_part_length].rstrip(" .")


def get_sampler_scheduler(p, sampler):
    from modules import sd_samplers

    if not (hasattr(p, "scheduler") and hasattr(p, "sampler_name")):
        return NOTHING_AND_SKIP_PREVIOUS_TEXT
    scheduler = p.scheduler
    if scheduler == "Automatic":
        scheduler = sd_samplers.find_sampler_config(p.sampler_name).options.get("scheduler", "Automatic")
    return sanitize_filename_part(f"{p.sampler_name} {scheduler.capitalize()}" if sampler else scheduler.capitalize(), replace_spaces=False)


def _only_in_batches(value):
    return lambda self, *args: NOTHING_AND_SKIP_PREVIOUS_TEXT if self.zip or self.p.batch_size == 1 else value(self)


def _only_in_jobs(value):
    return lambda self, *args: NOTHING_AND_SKIP_PREVIOUS_TEXT if self.zip or self.p.batch_size * self.p.n_iter == 1 else value(self)


def _hash(text, *args):
    return hashlib.sha256(text.encode()).hexdigest()[:int(args[0]) if args and args[0] else 8]


class FilenameGenerator:
    """`apply(pattern)` for one picture of `p`; unknown patterns stay as they are."""

    default_time_format = "%Y%m%d%H%M%S"
    replacements = {
        "basename": lambda self: self.basename or "img",
        "seed": lambda self: "" if self.seed is None else self.seed,
        "seed_first": lambda self: self.seed if self.p.batch_size == 1 else self.p.all_seeds[0],
        "seed_last": lambda self: NOTHING_AND_SKIP_PREVIOUS_TEXT if self.p.batch_size == 1 else self.p.all_seeds[-1],
        "steps": lambda self: self.p and self.p.steps,
        "cfg": lambda self: self.p and self.p.cfg_scale,
        "width": lambda self: self.image.width,
        "height": lambda self: self.image.height,
        "styles": lambda self: self.p and sanitize_filename_part(", ".join(s for s in self.p.styles if s != "None") or "None", False),
        "sampler": lambda self: self.p and sanitize_filename_part(self.p.sampler_name, replace_spaces=False),
        "sampler_scheduler": lambda self: self.p and get_sampler_scheduler(self.p, True),
        "scheduler": lambda self: self.p and get_sampler_scheduler(self.p, False),
        "model_hash": lambda self: getattr(self.p, "sd_model_hash", shared.sd_model.sd_model_hash),
        "model_name": lambda self: sanitize_filename_part(shared.sd_model.sd_checkpoint_info.name_for_extra, replace_spaces=False),
        "date": lambda self: datetime.datetime.now().strftime("%Y-%m-%d"),
        "datetime": lambda self, *args: self.datetime(*args),
        "job_timestamp": lambda self: getattr(self.p, "job_timestamp", shared.state.job_timestamp),
        "prompt_hash": lambda self, *args: _hash(self.prompt, *args),
        "negative_prompt_hash": lambda self, *args: _hash(self.p.negative_prompt, *args),
        "full_prompt_hash": lambda self, *args: _hash(f"{self.p.prompt} {self.p.negative_prompt}", *args),
        "prompt": lambda self: sanitize_filename_part(self.prompt),
        "prompt_no_styles": lambda self: sanitize_filename_part(self.prompt, replace_spaces=False),
        "prompt_spaces": lambda self: sanitize_filename_part(self.prompt, replace_spaces=False),
        "prompt_words": lambda self: self.prompt_words(),
        "batch_number": _only_in_batches(lambda self: self.p.batch_index + 1),
        "batch_size": lambda self: self.p.batch_size,
        "generation_number": _only_in_jobs(lambda self: self.p.iteration * self.p.batch_size + self.p.batch_index + 1),
        "hasprompt": lambda self, *args: self.hasprompt(*args),
        "clip_skip": lambda self: opts.CLIP_stop_at_last_layers,
        "denoising": lambda self: (self.p and self.p.denoising_strength) or NOTHING_AND_SKIP_PREVIOUS_TEXT,
        "user": lambda self: self.p.user,
        "vae_filename": lambda self: self.get_vae_filename(),
        "none": lambda self: "",
        "image_hash": lambda self, *args: self.image_hash(*args),
    }

    def __init__(self, p, seed, prompt, image, zip=False, basename=""):
        self.p, self.seed, self.prompt, self.image, self.zip, self.basename = p, seed, prompt, image, zip, basename

    def get_vae_filename(self):
        from modules import sd_vae

        name = sd_vae.get_loaded_vae_name()
        return "NoneType" if name is None else os.path.splitext(name)[0]

    def hasprompt(self, *args):
        parts = [arg.partition("|") for arg in args if arg]
        found = (expected.lower() if expected.lower() in self.prompt.lower() else other for expected, _, other in parts)
        return sanitize_filename_part("".join(found))

    def prompt_words(self):
        words = re.split(r"[\s" + re.escape(string.punctuation) + "]+", self.prompt or "")
        words = [word for word in words if word] or ["empty"]
        return sanitize_filename_part(" ".join(words[:opts.directories_max_prompt_words]), replace_spaces=False)

    def datetime(self, *args):
        return sanitize_filename_part(datetime.datetime.now().strftime(args[0] if args and args[0] else self.default_time_format), False)

    def image_hash(self, *args):
        return hashlib.sha256(self.image.tobytes()).hexdigest()[:int(args[0]) if args and args[0] else None]

    def apply(self, x):
        out, end = "", 0
        for match in _PATTERN.finditer(x):
            end = match.end()
            name, *_ = match.group(2).partition("<")
            value = self._value(name.lower(), _ARGUMENT.findall(match.group(2)))
            if value is not NOTHING_AND_SKIP_PREVIOUS_TEXT:
                out += match.group(1) + (f"[{match.group(2)}]" if value is None else str(value))
        return out + x[end:]

    def _value(self, name, args):
        if name not in self.replacements:
            return None
        try:
            return functools.partial(self.replacements[name], self)(*args)
        except Exception:
            errors.report(f"[{name}] could not be put into a file name", exc_info=True)
            return None
