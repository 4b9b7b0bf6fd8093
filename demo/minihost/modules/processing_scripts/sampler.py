"""Sampling method, schedule type and steps of the page."""
import gradio as gr
from modules import scripts, sd_samplers, sd_schedulers
from modules.infotext_utils import PasteField
from modules.ui_components import FormRow


class ScriptSampler(scripts.ScriptBuiltinUI):
    section = "sampler"

    def __init__(self):
        self.steps = self.sampler_name = self.scheduler = None

    def title(self):
        return "Sampler"

    def ui(self, is_img2img):
        samplers, schedulers = sd_samplers.visible_sampler_names(), [scheduler.label for scheduler in sd_schedulers.schedulers]
        tab = self.tabname
        with FormRow(elem_id="sampler_selection_" + tab):
            self.sampler_name = gr.Dropdown(samplers, value=samplers[0], label="Sampling method", elem_id=f"{tab}_sampling")
            self.scheduler = gr.Dropdown(schedulers, value=schedulers[0], label="Schedule type", elem_id=f"{tab}_scheduler")
            self.steps = gr.Slider(1, 150, value=20, step=1, label="Sampling steps", elem_id=f"{tab}_steps")
        sources = {"steps": "Steps", "sampler_name": sd_samplers.get_sampler_from_infotext,
                   "scheduler": sd_samplers.get_scheduler_from_infotext}
        self.infotext_fields = [PasteField(getattr(self, name), source, api=name) for name, source in sources.items()]
        return tuple(field.component for field in self.infotext_fields)

    def setup(self, p, steps, sampler_name, scheduler):
        p.steps, p.sampler_name, p.scheduler = steps, sampler_name, scheduler
