"""What everybody shares: flags, settings, the state of the running job, and (loaded when first asked for) the model."""
import os
import re

from modules import devices
from modules._flags import cmd_opts
from modules._settings import LABELS
from modules._state import State
from modules.options import OptionInfo, Options  # noqa: F401

config_filename = cmd_opts.ui_settings_file
opts = Options(LABELS, config_filename)
state = State()
device = devices.device
parallel_processing_allowed = True      # previews are made beside the sampling, not between its steps
demo = None                             # the page, once there is one
latent_upscale_default_mode = "Latent"
latent_upscale_modes = {
    f"Latent{label}": {"mode": mode, "antialias": "anti" in label} for label, mode in (
        ("", "bilinear"), (" (antialiased)", "bilinear"), (" (bicubic)", "bicubic"),
        (" (bicubic antialiased)", "bicubic"), (" (nearest)", "nearest"), (" (nearest-exact)", "nearest-exact"))}


def __getattr__(name):
    if name != "sd_model":
        raise AttributeError(f"modules.shared has no {name}")
    from modules import sd_models

    return sd_models.model_data.get_sd_model()


def _natural(text):
    return [int(part) if part.isdigit() else part.casefold() for part in re.split(r"(\d+)", text)]


def walk_files(path, allowed_extensions=None):
    """Every file below `path` whose suffix (lower case, with the dot) is allowed, "2" before "10"; hidden folders too."""
    for folder, inner, names in os.walk(path, followlinks=True):
        inner.sort(key=_natural)
        for name in sorted(names, key=_natural):
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in allowed_extensions:
                yield os.path.join(folder, name)
