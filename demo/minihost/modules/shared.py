"""What everybody shares: flags, settings, the state of the running job, and (loaded when first asked for) the model."""

import os
import re
from pathlib import Path

from modules import devices
from modules._flags import cmd_opts
from modules._options import OptionInfo, Options  # noqa: F401
from modules._state import State

opts, state = Options(Path(cmd_opts.data_dir, "config.json")), State()
device = devices.device
parallel_processing_allowed = True  # previews are made beside the sampling, not between its steps
demo = None  # the page, once it is served


class StyleDatabase:
    """Nobody keeps styles here: prompts stay what they are."""

    def apply_styles_to_prompt(self, prompt, styles):
        return prompt

    apply_negative_styles_to_prompt = apply_styles_to_prompt


prompt_styles = StyleDatabase()


def __getattr__(name):
    if name != "sd_model":
        raise AttributeError(f"modules.shared has no {name}")
    from modules import sd_models

    return sd_models.model_data.get_sd_model()


def _with_numbers(name):
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", name)]


def walk_files(path, allowed_extensions=None):
    """Every file below `path` whose suffix (lower case, with the dot) is allowed, "2" before "10"."""
    for folder, inner, names in os.walk(path, followlinks=True):
        inner.sort(key=_with_numbers)
        for name in sorted(names, key=_with_numbers):
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in allowed_extensions:
                yield os.path.join(folder, name)
