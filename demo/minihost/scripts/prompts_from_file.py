"""One generation per line of prompts, in the smallest form."""
from copy import copy

import gradio as gr
from modules import scripts, shared
from modules.processing import process_images


class Script(scripts.Script):
    def title(self):
        return "Prompts from file or textbox"

    def ui(self, is_img2img):
        return [gr.Textbox(label="List of prompt inputs", lines=1, value="", elem_id=self.elem_id("prompt_txt"))]

    def run(self, p, prompt_txt):
        results = None
        lines = [line.strip() for line in prompt_txt.splitlines() if line.strip()]
        shared.state.job_count = len(lines) * p.n_iter
        for line in lines:
            one = copy(p)
            one.prompt, one.extra_generation_params = line, dict(p.extra_generation_params)
            done = process_images(one)
            if results is None:
                results = done
            else:
                results.images += done.images
                results.infotexts += done.infotexts
        return results
