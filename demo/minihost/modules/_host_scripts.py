"""The host's own always-on scripts: sampler and seed of the page. The API has fields for both, so they are the page's."""
import json

import gradio as gr
from modules import infotext_utils, sd_samplers, sd_schedulers
from modules.infotext_utils import PasteField
from modules.scripts import AlwaysVisible, Script
from modules.ui_components import FormRow, ToolButton


class PageScript(Script):
    setup_for_ui_only = True

    def show(self, is_img2img):
        return AlwaysVisible

    def elem_id(self, item_id):
        return f"{self.tabname}_{item_id}"


class Sampling(PageScript):
    section = "sampler"

    def title(self):
        return "Sampler"

    def ui(self, is_img2img):
        names, labels = sd_samplers.visible_sampler_names(), [one.label for one in sd_schedulers.schedulers]
        with FormRow(elem_id=f"sampler_selection_{self.tabname}"):
            sampler = gr.Dropdown(names, value=names[0], label="Sampling method", elem_id=self.elem_id("sampling"))
            schedule = gr.Dropdown(labels, value=labels[0], label="Schedule type", elem_id=self.elem_id("scheduler"))
            steps = gr.Slider(1, 150, value=20, step=1, label="Sampling steps", elem_id=self.elem_id("steps"))
        self.infotext_fields = [
            PasteField(steps, "Steps", api="steps"),
            PasteField(sampler, sd_samplers.sampler_of_infotext, api="sampler_name"),
            PasteField(schedule, sd_samplers.scheduler_of_infotext, api="scheduler")]
        return [steps, sampler, schedule]

    def setup(self, p, steps, sampler_name, scheduler):
        vars(p).update(steps=steps, sampler_name=sampler_name, scheduler=scheduler)


class Seed(PageScript):
    section, create_group = "seed", False

    def title(self):
        return "Seed"

    def ui(self, is_img2img):
        with gr.Row(elem_id=self.elem_id("seed_row")):
            seed = gr.Number(-1, label="Seed", precision=0, elem_id=self.elem_id("seed"))
            random = ToolButton("\U0001f3b2", elem_id=self.elem_id("random_seed"), tooltip="Another seed each time")
            again = ToolButton("\u267b", elem_id=self.elem_id("reuse_seed"), tooltip="The seed of the selected picture")
            more = gr.Checkbox(False, label="Extra", elem_id=self.elem_id("subseed_show"))
        with FormRow(visible=False, elem_id=self.elem_id("seed_extras")) as extras:
            subseed = gr.Number(-1, label="Variation seed", precision=0, elem_id=self.elem_id("subseed"))
            strength = gr.Slider(0, 1, value=0.0, step=0.01, label="Variation strength",
                                 elem_id=self.elem_id("subseed_strength"))
            width, height = (gr.Slider(0, 2048, value=0, step=8, label=f"Resize seed from {side}",
                                       elem_id=self.elem_id(f"seed_resize_from_{side[0]}")) for side in ("width", "height"))
        random.click(lambda: -1, outputs=[seed], show_progress=False)
        more.change(lambda shown: gr.update(visible=shown), inputs=[more], outputs=[extras], show_progress=False)
        self.on_after_component(lambda made: again.click(
            _seed_of, _js="(info, number) => [info, selected_gallery_index()]", inputs=[made.component, seed],
            outputs=[seed], show_progress=False), elem_id=f"generation_info_{self.tabname}")
        self.infotext_fields = [
            PasteField(seed, "Seed", api="seed"), PasteField(more, lambda told: "Variation seed" in told),
            PasteField(subseed, "Variation seed", api="subseed"),
            PasteField(strength, "Variation seed strength", api="subseed_strength")]
        return [seed, more, subseed, strength, width, height]

    def setup(self, p, seed, more, subseed, strength, width, height):
        p.seed = seed
        if more and strength > 0:
            p.subseed, p.subseed_strength = subseed, strength
        if more and width > 0 and height > 0:
            p.seed_resize_from_w, p.seed_resize_from_h = width, height


def _seed_of(info, number):
    """The seed of the picture that is selected in the gallery."""
    texts = json.loads(info)["infotexts"] if info else []
    if not texts:
        return -1
    return int(infotext_utils.parse_generation_parameters(texts[max(int(number), 0)], []).get("Seed", -1))
