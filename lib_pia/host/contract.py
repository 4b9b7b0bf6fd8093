"""What the extension needs of the WebUI, in one place, checked once when the script loads."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from lib_pia.errors import HostError

WANTED = "v1.10.1"

# Module of the host -> names in it that the extension uses; a dot leads into a class.
NEEDED: dict[str, tuple[str, ...]] = {
    "modules.devices": ("device", "cpu", "dtype_unet", "autocast", "torch_gc"),
    "modules.errors": ("report", "record_exception"),
    "modules.extra_networks": ("activate",),
    "modules.hashes": ("sha256",),
    "modules.images": (
        "FilenameGenerator",
        "get_next_sequence_number",
        "resize_image",
        "flatten",
        "image_grid",
        "read_info_from_image",
    ),
    "modules.infotext_utils": ("ParamBinding", "register_paste_params_button", "parse_generation_parameters"),
    "modules.paths": ("models_path",),
    "modules.processing": (
        "Processed.js",
        "StableDiffusionProcessing.close",
        "StableDiffusionProcessingImg2Img.init",
        "StableDiffusionProcessingImg2Img.sample",
        "StableDiffusionProcessingTxt2Img.sample",
        "apply_overlay",
        "decode_latent_batch",
    ),
    "modules.prompt_parser": (
        "ComposableScheduledPromptConditioning",
        "MulticondLearnedConditioning",
        "ScheduledPromptConditioning",
    ),
    "modules.rng": ("ImageRNG",),
    "modules.script_callbacks": (
        "on_app_started",
        "on_before_ui",
        "on_cfg_denoised",
        "on_cfg_denoiser",
        "on_image_grid",
        "on_infotext_pasted",
        "on_ui_settings",
    ),
    "modules.scripts": (
        "AlwaysVisible",
        "scripts_data",
        "Script.title",
        "Script.show",
        "Script.ui",
        "Script.after_component",
        "Script.setup",
        "Script.before_process",
        "Script.before_process_batch",
        "Script.process_batch",
        "Script.process_before_every_sampling",
        "Script.on_mask_blend",
        "Script.postprocess_image_after_composite",
        "Script.postprocess",
    ),
    "modules.sd_models": ("model_data",),
    "modules.sd_samplers": ("create_sampler", "sample_to_image"),
    "modules.sd_samplers_common": ("images_tensor_to_samples", "Sampler.sample", "Sampler.sample_img2img"),
    "modules.sd_unet": ("current_unet",),
    "modules.shared": (
        "cmd_opts",
        "demo",
        "opts",
        "parallel_processing_allowed",
        "sd_upscalers",
        "sd_model",
        "state",
        "walk_files",
        "OptionInfo",
    ),
    "modules.ui_common": ("create_refresh_button",),
    "modules.ui_components": ("FormRow", "InputAccordion"),
    "modules.ui_tempdir": ("register_tmp_file",),
}

# What javascript/ uses of the host's page, beside what gradio itself makes. TAB is img2img and txt2img.
PAGE_FUNCTIONS = ("gradioApp", "onUiLoaded", "onAfterUiUpdate", "onOptionsChanged", "updateInput")
PAGE_VARIABLES = ("localization", "gradio_config")  # of window
PAGE_ELEMENTS = (
    "TAB_gallery",  # the player's place is under it
    "html_info_TAB",
    "TAB_interrupt",
    "img2img_prompt",
    "mode_img2img",
    "img2img_image",
    "img2maskimg",
)


def installed_version() -> str:
    """The host's version as it names itself (a git tag), or "an unknown version"."""
    try:
        tag = importlib.import_module("launch").git_tag()
    except Exception:  # whatever a foreign launcher does here, the version is only for a sentence
        tag = None
    return tag if tag and tag != "<none>" else "an unknown version"


def missing() -> Iterator[str]:
    """Names of `NEEDED` that the running host does not have."""
    for module_name, names in NEEDED.items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            yield module_name
            continue
        for name in names:
            value = module
            for part in name.split("."):
                value = getattr(value, part, _MISSING) if value is not _MISSING else value
            if value is _MISSING:
                yield f"{module_name}.{name}"


_MISSING = object()


def check() -> None:
    """Raises HostError, naming the installed version and the wanted one, if the host lacks something that the extension
    needs."""
    lacks = list(missing())
    if lacks:
        shown = ", ".join(lacks[:3]) + (f" and {len(lacks) - 3} more" if len(lacks) > 3 else "")
        raise HostError(
            f"The PIA extension is made for AUTOMATIC1111 WebUI {WANTED}; this is {installed_version()}, which "
            f"lacks {shown}. "
            f'Run "git fetch --tags && git checkout {WANTED}" in the WebUI\'s folder.'
        )
