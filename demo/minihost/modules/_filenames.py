"""modules.images, first half: file names from patterns such as "[seed]-[prompt_words]"."""
import datetime
import functools
import hashlib
import os
import re
import string

from modules import errors, shared
from modules.shared import opts

NOTHING_AND_SKIP_PREVIOUS_TEXT = type("Nothing", (), {})()       # the value of a pattern that goes away with the text before it
invalid_filename_chars = "/" if shared.cmd_opts.unix_filenames_sanitization else '#<>:"/\\|?*\n\r\t'
max_filename_part_length = int(shared.cmd_opts.filenames_max_length)
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


def _of_generation(read):
    return lambda made: made.p and read(made.p)


def _checkpoint():
    return shared.sd_model.sd_checkpoint_info


def _hash(text, *args):
    return hashlib.sha256(text.encode()).hexdigest()[:int(args[0]) if args and args[0] else 8]


class FilenameGenerator:
    """`apply(pattern)` for one picture of `p`; unknown patterns stay as they are."""

    default_time_format = "%Y%m%d%H%M%S"
    replacements = {
        **{name: _of_generation(read) for name, read in {
            "steps": lambda p: p.steps,
            "cfg": lambda p: p.cfg_scale,
            "styles": lambda p: sanitize_filename_part(", ".join(s for s in p.styles if s != "None") or "None", False),
            "sampler": lambda p: sanitize_filename_part(p.sampler_name, False),
            "sampler_scheduler": lambda p: get_sampler_scheduler(p, sampler=True),
            "scheduler": lambda p: get_sampler_scheduler(p, sampler=False),
            "denoising": lambda p: p.denoising_strength or NOTHING_AND_SKIP_PREVIOUS_TEXT,
        }.items()},
        "basename": lambda made: made.basename or "img",
        "seed": lambda made: "" if made.seed is None else made.seed,
        "seed_first": lambda made: made.p.all_seeds[0] if made.p.batch_size > 1 else made.seed,
        "seed_last": lambda made: made.p.all_seeds[-1] if made.p.batch_size > 1 else NOTHING_AND_SKIP_PREVIOUS_TEXT,
        "width": lambda made: made.image.size[0],
        "height": lambda made: made.image.size[1],
        "model_hash": lambda made: getattr(made.p, "sd_model_hash", None) or _checkpoint().shorthash,
        "model_name": lambda made: sanitize_filename_part(_checkpoint().name_for_extra, False),
        "date": lambda made: made.datetime("%Y-%m-%d"),
        "datetime": lambda made, *args: made.datetime(*args),
        "job_timestamp": lambda made: getattr(made.p or shared.state, "job_timestamp", shared.state.job_timestamp),
        "prompt_hash": lambda made, *args: _hash(made.prompt, *args),
        "negative_prompt_hash": lambda made, *args: _hash(made.p.negative_prompt, *args),
        "full_prompt_hash": lambda made, *args: _hash(f"{made.p.prompt} {made.p.negative_prompt}", *args),
        "prompt": lambda made: sanitize_filename_part(made.prompt),
        "prompt_no_styles": lambda made: sanitize_filename_part(made.prompt, False),
        "prompt_spaces": lambda made: sanitize_filename_part(made.prompt, False),
        "prompt_words": lambda made, *args: made.prompt_words(),
        "batch_number": _only_in_batches(lambda made: made.p.batch_index + 1),
        "batch_size": lambda made: made.p.batch_size,
        "generation_number": _only_in_jobs(lambda made: made.p.iteration * made.p.batch_size + made.p.batch_index + 1),
        "hasprompt": lambda made, *args: made.hasprompt(*args),
        "clip_skip": lambda made: opts.CLIP_stop_at_last_layers,
        "user": lambda made: made.p.user,
        "vae_filename": lambda made, *args: made.get_vae_filename(),
        "none": lambda made: "",
        "image_hash": lambda made, *args: made.image_hash(*args),
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
