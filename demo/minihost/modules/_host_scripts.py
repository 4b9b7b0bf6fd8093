"""The page's fields for sampler and seed, as always-on scripts. The API has fields of its own for both."""
import gradio as gr
from modules import sd_samplers, sd_schedulers
from modules.scripts import AlwaysVisible, Script
from modules.ui_components import FormRow, ToolButton


class PageScript(Script):
    setup_for_ui_only = True

    def title(self):
        return type(self).__name__

    def show(self, is_img2img):
        return AlwaysVisible

    def elem_id(self, item_id):
        return f"{self.tabname}_{item_id}"

    def setup(self, p, *values):
        vars(p).update(zip(self.sets, values))


class Sampling(PageScript):
    section, sets = "sampler", ("steps", "sampler_name", "scheduler")

    def ui(self, is_img2img):
        names, labels = list(sd_samplers.all_samplers_map), [one.label for one in sd_schedulers.schedulers]
        with FormRow():
            sampler = gr.Dropdown(names, value=names[0], label="Sampling method", elem_id=self.elem_id("sampling"))
            schedule = gr.Dropdown(labels, value=labels[0], label="Schedule type", elem_id=self.elem_id("scheduler"))
            steps = gr.Slider(1, 150, value=20, step=1, label="Sampling steps", elem_id=self.elem_id("steps"))
        both = [lambda told, place=place: sd_samplers.get_sampler_and_scheduler(
            told.get("Sampler"), told.get("Schedule type"))[place] for place in (0, 1)]
        self.infotext_fields = [(steps, "Steps"), (sampler, both[0]), (schedule, both[1])]
        return [steps, sampler, schedule]


class Seed(PageScript):
    section, sets = "seed", ("seed",)

    def ui(self, is_img2img):
        with FormRow():
            seed = gr.Number(-1, label="Seed", precision=0, elem_id=self.elem_id("seed"))
            ToolButton("\U0001f3b2", elem_id=self.elem_id("random_seed")).click(lambda: -1, outputs=[seed], show_progress=False)
        self.infotext_fields = [(seed, "Seed")]
        return [seed]
