"""A picture that is on disk already is shown from there, so a GIF moves in the gallery."""

import os
import tempfile

import gradio as gr
from modules import images, shared


def register_tmp_file(gradio, filename):
    """The page may fetch this file."""
    if known := getattr(gradio, "temp_file_sets", None):
        known[0] |= {os.path.abspath(filename)}


def save_pil_to_file(self, pil_image, dir=None, format="png"):
    """The path under which gradio shows a picture."""
    if os.path.isfile(saved := getattr(pil_image, "already_saved_as", "")):
        shown = f"{saved}?{os.path.getmtime(saved)}"
        register_tmp_file(shared.demo, saved)
        register_tmp_file(shared.demo, shown)
        return shown
    os.makedirs(folder := shared.opts.temp_dir or dir, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".png", dir=folder, delete=False) as file:
        images.write_png(pil_image, file)
    return file.name


gr.components.IOComponent.pil_to_temp_file = save_pil_to_file
