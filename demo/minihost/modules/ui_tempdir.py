"""A picture that is on disk already is shown from there, so that a GIF moves in the gallery."""
import os
import tempfile
from pathlib import Path

import gradio.components
from modules import shared


def register_tmp_file(gradio, filename):
    """Allow the page to fetch this file."""
    if hasattr(gradio, "temp_file_sets"):
        gradio.temp_file_sets[0] = {*gradio.temp_file_sets[0], os.path.abspath(filename)}


def check_tmp_file(gradio, filename):
    if hasattr(gradio, "temp_file_sets"):
        return any(filename in known for known in gradio.temp_file_sets)
    return False


def save_pil_to_file(self, pil_image, dir=None, format="png"):
    known = getattr(pil_image, "already_saved_as", None)
    if known and os.path.isfile(known):
        with_time = f"{known}?{os.path.getmtime(known)}"
        for name in (known, with_time):
            register_tmp_file(shared.demo, name)
        return with_time
    if shared.opts.temp_dir:
        dir = shared.opts.temp_dir
    else:
        os.makedirs(dir, exist_ok=True)
    from modules import images

    text = images._text_chunks(pil_image.info)
    with tempfile.NamedTemporaryFile(delete=False, suffix=".png", dir=dir) as file:
        pil_image.save(file, format="PNG", pnginfo=text)
    return file.name


def install_ui_tempdir_override():
    gradio.components.IOComponent.pil_to_temp_file = save_pil_to_file


def is_gradio_temp_path(path):
    folders = [shared.opts.temp_dir, os.environ.get("GRADIO_TEMP_DIR"), os.path.join(tempfile.gettempdir(), "gradio")]
    return any(folder and Path(folder).resolve() in Path(path).resolve().parents for folder in folders)
