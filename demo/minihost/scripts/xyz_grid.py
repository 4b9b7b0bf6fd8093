"""X/Y/Z plot in its smallest form: one generation of a copied `p` per value; a cell that fails is reported and left out, as in the WebUI."""
from copy import copy

import gradio as gr
from modules import errors, images, scripts, sd_models
from modules.processing import Processed, process_images


def _replace_prompt(p, value, values):
    p.prompt = p.prompt.replace(values[0], value)


def _checkpoint(p, value, values):
    info = sd_models.get_closet_checkpoint_match(value)
    if info is None:
        raise RuntimeError(f"Unknown checkpoint: {value}")
    p.override_settings = {**p.override_settings, "sd_model_checkpoint": info.name}


AXES = {
    "Nothing": lambda p, value, values: None,
    "Seed": lambda p, value, values: setattr(p, "seed", int(value)),
    "Steps": lambda p, value, values: setattr(p, "steps", int(value)),
    "CFG Scale": lambda p, value, values: setattr(p, "cfg_scale", float(value)),
    "Sampler": lambda p, value, values: setattr(p, "sampler_name", value),
    "Prompt S/R": _replace_prompt,
    "Checkpoint name": _checkpoint,
}


class Script(scripts.Script):
    def title(self):
        return "X/Y/Z plot"

    def ui(self, is_img2img):
        controls = []
        for axis in "XY":
            controls.append(gr.Dropdown(list(AXES), value="Nothing", label=f"{axis} type", elem_id=self.elem_id(f"{axis.lower()}_type")))
            controls.append(gr.Textbox(value="", label=f"{axis} values", elem_id=self.elem_id(f"{axis.lower()}_values")))
        return controls

    def run(self, p, x_type, x_values, y_type, y_values):
        xs, ys = ([part.strip() for part in text.split(",")] for text in (x_values or "", y_values or ""))
        results = None
        for y in ys:
            for x in xs:
                cell = copy(p)
                cell.styles, cell.override_settings = cell.styles[:], dict(cell.override_settings)
                cell.extra_generation_params = dict(cell.extra_generation_params)
                try:
                    AXES[x_type](cell, x, xs)
                    AXES[y_type](cell, y, ys)
                    done = process_images(cell)
                except Exception as error:
                    errors.display(error, "a cell of the plot")
                    done = Processed(p, [], p.seed, "")
                if results is None:
                    results = copy(done)
                    results.images, results.infotexts = [], []
                results.images += done.images
                results.infotexts += done.infotexts
        stills = [image for image in results.images if not isinstance(image, str)]
        if len(stills) > 1:
            results.images.insert(0, images.image_grid(stills, rows=len(ys)))
            results.infotexts.insert(0, results.infotexts[0])
            results.index_of_first_image = 1
        return results
