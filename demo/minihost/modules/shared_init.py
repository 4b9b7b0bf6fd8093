"""Fills the fields of `shared`; everything else may be imported after it."""
import os

import torch
from modules import shared
from modules.shared import cmd_opts


def initialize():
    from modules import devices, options, shared_options, shared_state, shared_total_tqdm, styles

    described = shared_options.options_templates, shared_options.restricted_opts
    shared.options_templates, shared.restricted_opts = described
    values = shared.opts = options.Options(*described)
    values.load(filename=shared.config_filename)

    devices.device = devices.get_optimal_device()
    devices.dtype_vae = torch.float32
    devices.dtype = devices.dtype_unet = devices.dtype_inference = torch.float32 if cmd_opts.no_half else torch.float16
    if not cmd_opts.no_half_vae:
        devices.dtype_vae = devices.dtype
    shared.device = devices.device
    shared.weight_load_location = "cpu"
    for folder in (shared.models_path, shared.data_path):
        os.makedirs(folder, exist_ok=True)

    shared.state = shared_state.State()
    shared.prompt_styles = styles.StyleDatabase(cmd_opts.styles_file or [os.path.join(shared.data_path, "styles.csv")])
    progress_bar = shared_total_tqdm.TotalTQDM()
    shared.total_tqdm = progress_bar

    from modules import gradio_extensons, processing  # noqa: F401
