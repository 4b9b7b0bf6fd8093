"""What everybody shares: flags, settings, the state of the running job, and (loaded when first asked for) the model."""
import os
import re
from pathlib import Path

from modules import devices
from modules._flags import cmd_opts
from modules._settings import LABELS
from modules._state import State
from modules.options import OptionInfo, Options  # noqa: F401
from PIL import Image

opts, state = Options(LABELS, Path(cmd_opts.data_dir, "config.json")), State()
device = devices.device
parallel_processing_allowed = True      # previews are made beside the sampling, not between its steps
demo = None                             # the page, once there is one
latent_upscale_modes = {
    f"Latent{label}": {"mode": mode, "antialias": "anti" in label} for label, mode in (
        ("", "bilinear"), (" (antialiased)", "bilinear"), (" (bicubic)", "bicubic"), (" (nearest)", "nearest"))}


class Resizing:
    """An upscaler that needs no model: "None" leaves a picture to the last resizing, which is Lanczos."""

    def __init__(self, name, resample):
        self.name, self.data_path, self.scaler, self.resample = name, None, self, resample

    def upscale(self, img, scale, selected_model=None):
        """To multiples of 8 pixels."""
        return img.resize([int(side * scale) // 8 * 8 for side in img.size], self.resample)


sd_upscalers = [Resizing(name, kind) for name, kind in (
    ("None", Image.LANCZOS), ("Lanczos", Image.LANCZOS), ("Nearest", Image.NEAREST))]


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


def walk_files(path, allowed_extensions=None):
    """Every file below `path` whose suffix (lower case, with the dot) is allowed, "2" before "10"."""
    for folder, inner, names in os.walk(path, followlinks=True):
        for some in (inner, names):
            some.sort(key=lambda name: [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", name)])
        for name in names:
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in allowed_extensions:
                yield os.path.join(folder, name)
