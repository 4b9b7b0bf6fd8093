"""The settings page section "PIA"."""

from __future__ import annotations

import gradio as gr
from modules import shared

from lib_pia.settings_fields import FIELD, FORMATS

SECTION = ("pia", "PIA")


def add() -> None:
    """Registers the options; the host calls it before it builds the settings page."""
    option = shared.OptionInfo
    rows = {
        "pia_model_dir": option("", "Folder with PIA models", section=SECTION).info(
            "empty: models/PIA; --pia-dir comes first"
        ),
        "pia_download_url": option("", "Where pia.ckpt is downloaded from", section=SECTION, restrict_api=True).info(
            "empty: Leoxing/PIA on Hugging Face; only when the panel's Download button is pressed"
        ),
        "pia_formats": option(
            list(FIELD["formats"].default),
            "Formats that the panel starts with",
            gr.CheckboxGroup,
            {"choices": list(FORMATS)},
            section=SECTION,
        ).needs_reload_ui(),
        "pia_gif_colors": option(
            256, "Colours of a GIF", gr.Slider, {"minimum": 16, "maximum": 256, "step": 16}, section=SECTION
        ),
        "pia_mp4_crf": option(
            18, "Quality of MP4 (CRF)", gr.Slider, {"minimum": 0, "maximum": 40, "step": 1}, section=SECTION
        ).info("lower is better and larger"),
        "pia_keep_in_vram": option(
            False, "Keep the PIA model on the graphics card between clips", gr.Checkbox, {}, section=SECTION
        ).info("takes about 0.9 GB in half precision; saves moving it for every clip"),
    }
    for name, row in rows.items():
        shared.opts.add_option(name, row)


def panel_formats() -> list[str]:
    """The formats that a fresh panel has ticked."""
    chosen = getattr(shared.opts, "pia_formats", None)
    return [name for name in FORMATS if name in chosen] if chosen else list(FIELD["formats"].default)
