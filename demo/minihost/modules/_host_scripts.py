"""The page's fields for sampler and seed, as always-on scripts. The API has fields of its own for both."""

import gradio as gr
from modules import sd_samplers, sd_schedulers
from modules.scripts import AlwaysVisible, Script
from modules.ui_components import FormRow


class PageScript(Script):
    setup_for_ui_only = True

    def title(self):
        return type(self).__name__

    def show(self, is_img2img):
        return AlwaysVisible

    def setup(self, p, *values):
        vars(p).update(zip(self.sets, values))


class Sampling(PageScript):
    section, sets = "sampler", ("steps", "sampler_name", "scheduler")

    def ui(self, is_img2img):
        names, labels, tab = list(sd_samplers.all_samplers_map), list(sd_schedulers.FUNCTIONS), self.tabname
        with FormRow():
            sampler = gr.Dropdown(names, value=names[0], label="Sampling method", elem_id=f"{tab}_sampling")
            schedule = gr.Dropdown(labels, value=labels[0], label="Schedule type", elem_id=f"{tab}_scheduler")
            steps = gr.Slider(1, 150, value=20, step=1, label="Sampling steps", elem_id=f"{tab}_steps")

        def both(told):
            return sd_samplers.get_sampler_and_scheduler(told.get("Sampler"), told.get("Schedule type"))

        self.infotext_fields = [(steps, "Steps"), (sampler, lambda told: both(told)[0])]
        self.infotext_fields.append((schedule, lambda told: both(told)[1]))
        return [steps, sampler, schedule]


class Seed(PageScript):
    section, sets = "seed", ("seed",)

    def ui(self, is_img2img):
        seed = gr.Number(-1, label="Seed", precision=0, elem_id=f"{self.tabname}_seed")
        self.infotext_fields = [(seed, "Seed")]
        return [seed]
