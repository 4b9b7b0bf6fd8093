"""The page's seed."""
import json

import gradio as gr
from modules import infotext_utils, scripts
from modules.infotext_utils import PasteField
from modules.ui_components import ToolButton


class ScriptSeed(scripts.ScriptBuiltinUI):
    section = "seed"
    create_group = False

    def __init__(self):
        self.seed = self.reuse_seed = self.reuse_subseed = None

    def title(self):
        return "Seed"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with gr.Row(elem_id=f"{self.tabname}_seed_row"):
            self.seed = gr.Number(value=-1, label="Seed", elem_id=self.elem_id("seed"), min_width=100, precision=0)
            random_seed = ToolButton("\U0001f3b2\ufe0f", elem_id=self.elem_id("random_seed"), tooltip="A new seed each time")
            self.reuse_seed = ToolButton("\u267b\ufe0f", elem_id=self.elem_id("reuse_seed"), tooltip="The seed of the last picture")
            extra = gr.Checkbox(False, label="Extra", elem_id=self.elem_id("subseed_show"))
        with gr.Group(visible=False, elem_id=self.elem_id("seed_extras")) as extras:
            subseed = gr.Number(value=-1, label="Variation seed", elem_id=self.elem_id("subseed"), precision=0)
            strength = gr.Slider(0, 1, value=0.0, step=0.01, label="Variation strength", elem_id=self.elem_id("subseed_strength"))
            width = gr.Slider(0, 2048, value=0, step=8, label="Resize seed from width", elem_id=self.elem_id("seed_resize_from_w"))
            height = gr.Slider(0, 2048, value=0, step=8, label="Resize seed from height", elem_id=self.elem_id("seed_resize_from_h"))
        random_seed.click(lambda: -1, outputs=[self.seed], show_progress=False)
        extra.change(lambda shown: gr.update(visible=shown), inputs=[extra], outputs=[extras], show_progress=False)
        self.infotext_fields = [PasteField(self.seed, "Seed", api="seed"), PasteField(extra, lambda params: "Variation seed" in params),
                                PasteField(component=subseed, target="Variation seed", api="subseed"),
                                PasteField(strength, "Variation seed strength", api="subseed_strength")]
        self.on_after_component(lambda x: connect_reuse_seed(self.seed, self.reuse_seed, x.component, False),
                                elem_id=f"generation_info_{self.tabname}")
        return self.seed, extra, subseed, strength, width, height

    def setup(self, p, seed, seed_checkbox, subseed, subseed_strength, seed_resize_from_w, seed_resize_from_h):
        p.seed = seed
        if not seed_checkbox:
            return
        if subseed_strength > 0:
            p.subseed, p.subseed_strength = subseed, subseed_strength
        if min(seed_resize_from_w, seed_resize_from_h) > 0:
            p.seed_resize_from_w, p.seed_resize_from_h = seed_resize_from_w, seed_resize_from_h


def connect_reuse_seed(seed: gr.Number, reuse_seed: gr.Button, generation_info: gr.Textbox, is_subseed):
    def copy_seed(text, index):
        infotexts = json.loads(text)["infotexts"] if text else []
        if not infotexts:
            return -1
        return int(infotext_utils.parse_generation_parameters(infotexts[max(int(index), 0)], []).get("Seed", -1))

    reuse_seed.click(copy_seed, _js="(text, index) => [text, selected_gallery_index()]", inputs=[generation_info, seed], outputs=[seed],
                     show_progress=False)
