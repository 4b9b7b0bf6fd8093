"""What every part shares: flags, settings, state, and (as a live property, see shared_items) the model."""
import gradio as gr
from modules import shared_cmd_options
from modules.options import OptionHTML, OptionInfo, options_section  # noqa: F401
from modules.paths_internal import (  # noqa: F401
    data_path,
    default_sd_model_file,
    extensions_builtin_dir,
    extensions_dir,
    models_path,
    script_path,
    sd_configs_path,
    sd_default_config,
    sd_model_file,
)
from modules.shared_items import list_checkpoint_tiles, list_samplers, refresh_checkpoints  # noqa: F401
from modules.util import listfiles, natural_sort_key, walk_files  # noqa: F401

cmd_opts = shared_cmd_options.cmd_opts
parser = shared_cmd_options.parser
config_filename, hide_dirs = cmd_opts.ui_settings_file, {"visible": cmd_opts.hide_ui_dir_config is False}

batch_cond_uncond = True
parallel_processing_allowed = True
demo: gr.Blocks = None
device: str = None
weight_load_location: str = None
xformers_available = False
state = None
prompt_styles = None
face_restorers = []
options_templates: dict = None
opts = None
restricted_opts: set[str] = None
settings_components: dict = None
tab_names = []
total_tqdm = None
gradio_theme = gr.themes.Base()
sd_upscalers = []
hypernetworks = {}
hf_endpoint = "https://huggingface.co"

latent_upscale_default_mode = "Latent"
latent_upscale_modes = {
    "Latent" + name: {"mode": mode, "antialias": antialias} for name, mode, antialias in (
        ("", "bilinear", False), (" (antialiased)", "bilinear", True), (" (bicubic)", "bicubic", False),
        (" (bicubic antialiased)", "bicubic", True), (" (nearest)", "nearest", False), (" (nearest-exact)", "nearest-exact", False))}

