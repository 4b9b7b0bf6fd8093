"""The page's seed (without the variation seed, which only the API has here)."""
import json

import gradio as gr
from modules import infotext_utils, scripts
from modules.infotext_utils import PasteField
from modules.ui_components import ToolButton


class ScriptSeed(scripts.ScriptBuiltinUI):
    section = "seed"
    create_group = False

    def __init__(self):
        self.seed = self.reuse_seed = None

    def title(self):
        return "Seed"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with gr.Row(elem_id=self.elem_id("seed_row")):
            self.seed = gr.Number(value=-1, label="Seed", elem_id=self.elem_id("seed"), min_width=100, precision=0)
            random_seed = ToolButton("\U0001f3b2\ufe0f", elem_id=self.elem_id("random_seed"), tooltip="A new seed each time")
            self.reuse_seed = ToolButton("\u267b\ufe0f", elem_id=self.elem_id("reuse_seed"), tooltip="The seed of the last picture")
        random_seed.click(lambda: -1, outputs=[self.seed], show_progress=False)
        self.infotext_fields = [PasteField(self.seed, "Seed", api="seed")]
        self.on_after_component(lambda x: connect_reuse_seed(self.seed, self.reuse_seed, x.component, False),
                                elem_id=f"generation_info_{self.tabname}")
        return [self.seed]

    def setup(self, p, seed):
        p.seed = seed


def connect_reuse_seed(seed: gr.Number, reuse_seed: gr.Button, generation_info: gr.Textbox, is_subseed):
    def copy_seed(text, index):
        infotexts = json.loads(text)["infotexts"] if text else []
        if not infotexts:
            return -1
        return int(infotext_utils.parse_generation_parameters(infotexts[max(int(index), 0)], []).get("Seed", -1))

    reuse_seed.click(copy_seed, _js="(text, index) => [text, selected_gallery_index()]", inputs=[generation_info, seed], outputs=[seed],
                     show_progress=False)
