"""The page: two tabs for generating, and PNG Info. Ids are the WebUI's, where extensions look for them."""

import contextlib
import html
import json

import gradio as gr
import gradio.utils
from modules import _page, errors, images, infotext_utils, processing, scripts, sd_models
from modules.infotext_utils import ParamBinding
from modules.sd_samplers import FUNCTIONS, all_samplers_map
from modules.shared import opts, state
from modules.ui_components import FormRow, ToolButton

gradio.utils.version_check = lambda: None  # nothing is asked of the network
gradio.utils.get_local_ip_address = lambda: "localhost"
PASTED = {"prompt": "Prompt", "negative_prompt": "Negative prompt", "cfg_scale": "CFG scale", "width": "Size-1"}
PASTED |= {"height": "Size-2", "batch_size": "Batch size", "denoising_strength": "Denoising strength", "seed": "Seed"}
PASTED |= {"steps": "Steps", "sampler_name": "Sampler", "scheduler": "Schedule type"}


def create_ui():
    """gradio's Blocks of the whole page."""
    tabs = {"txt2img": Tab("txt2img").blocks, "img2img": Tab("img2img").blocks, "PNG Info": _info_tab()}
    with gr.Blocks(theme=gr.themes.Base(), analytics_enabled=False, title="Stable Diffusion (minihost)") as page:
        with FormRow(elem_id="quicksettings"):
            names = list(sd_models.checkpoints_list)
            chosen = gr.Dropdown(
                names, value=lambda: opts.sd_model_checkpoint, label="Checkpoint", elem_id="setting_sd_model_checkpoint"
            )
            everything = gr.Textbox(lambda: json.dumps(opts.all()), elem_id="settings_json", visible=False)
            chosen.select(_choose_checkpoint, inputs=[chosen], outputs=[everything], show_progress=False)
        infotext_utils.connect_paste_params_buttons()
        with gr.Tabs(elem_id="tabs"):
            for label, blocks in tabs.items():
                with gr.TabItem(label, elem_id=f"tab_{label.replace(' ', '').lower()}"):
                    blocks.render()
    return page


def _choose_checkpoint(title):
    opts.set("sd_model_checkpoint", title)
    opts.save()
    return json.dumps(opts.all())


class Tab:
    """One of the two tabs: its components, and what its buttons do."""

    def __init__(self, name):
        self.name, self.is_image, self.runner = name, name == "img2img", getattr(scripts, f"scripts_{name}")
        self.fields = {}  # argument of the processing class -> component
        scripts.scripts_current = self.runner
        self.runner.initialize_scripts()
        with gr.Blocks(analytics_enabled=False) as self.blocks:
            task = gr.Textbox(visible=False)
            self._top()
            with gr.Row(equal_height=False):
                with gr.Column(elem_id=f"{name}_settings"):
                    pictures = self._pictures() if self.is_image else ()
                    self._settings()
                    with gr.Group(elem_id=f"{name}_script_container"):
                        custom = self.runner.setup_ui()
                outputs = self._results()
            inputs = [task, *pictures, *self.fields.values(), *custom]
            submit = "submit_img2img" if self.is_image else "submit"
            for event in (self.generate.click, self.fields["prompt"].submit):
                event(self._generate, _js=submit, inputs=inputs, outputs=outputs, show_progress=False)
        scripts.scripts_current = None
        fields = [(self.fields[key], said) for key, said in PASTED.items() if key in self.fields]
        for place, target in enumerate(("img2img", "inpaint") if self.is_image else ("txt2img",), start=1):
            picture = pictures[place] if self.is_image else None
            infotext_utils.paste_fields[target] = picture, fields + self.runner.infotext_fields

    def _top(self):
        name = self.name
        with gr.Row(elem_id=f"{name}_toprow"):
            with gr.Column(scale=6):
                for key, part in (("prompt", "prompt"), ("negative_prompt", "neg_prompt")):
                    self.fields[key] = gr.Textbox(label=PASTED[key], lines=2, elem_id=f"{name}_{part}")
            with gr.Column():
                self.generate = gr.Button("Generate", variant="primary", elem_id=f"{name}_generate")
                with gr.Row():
                    for word, function in (("interrupt", state.interrupt), ("skip", state.skip)):
                        button = gr.Button(word.title(), elem_id=f"{name}_{word}")
                        button.click(function, queue=False, show_progress=False)
                with gr.Row(elem_id=f"{name}_tools"):
                    paste = ToolButton("\u2199", elem_id="paste")
        infotext_utils.register_paste_params_button(ParamBinding(paste, name, self.fields["prompt"]))

    def _pictures(self):
        """(the tab that is shown, the picture of the first, picture and mask of the second)"""
        shown = gr.Number(0, visible=False, precision=0)
        given = {"source": "upload", "type": "pil", "image_mode": "RGBA", "show_label": False, "height": 720}
        with gr.Tabs(elem_id="mode_img2img"):
            with gr.TabItem("img2img", elem_id="img2img_img2img_tab"):
                plain = gr.Image(elem_id="img2img_image", tool="editor", **given)
            with gr.TabItem("Inpaint", elem_id="img2img_inpaint_tab"):
                masked = gr.Image(elem_id="img2maskimg", tool="sketch", **given)
        return shown, plain, masked

    def _slider(self, key, label, low, high, value, step=1):
        part = "batch_count" if key == "n_iter" else key
        self.fields[key] = gr.Slider(low, high, value=value, step=step, label=label, elem_id=f"{self.name}_{part}")

    def _settings(self):
        shown = ("sampler_name", "sampling", "Sampling method"), ("scheduler", "scheduler", "Schedule type")
        with FormRow():
            for (key, part, label), names in zip(shown, (list(all_samplers_map), list(FUNCTIONS))):
                self.fields[key] = gr.Dropdown(names, value=names[0], label=label, elem_id=f"{self.name}_{part}")
            self._slider("steps", "Sampling steps", 1, 150, 20)
        with FormRow():
            self._slider("width", "Width", 64, 2048, 512, 8)
            self._slider("height", "Height", 64, 2048, 512, 8)
        with FormRow():
            self._slider("n_iter", "Batch count", 1, 100, 1)
            self._slider("batch_size", "Batch size", 1, 8, 1)
        self._slider("cfg_scale", "CFG Scale", 1, 30, 7.0, 0.5)
        if self.is_image:
            self._slider("denoising_strength", "Denoising strength", 0, 1, 0.75, 0.01)
        self.fields["seed"] = gr.Number(-1, label="Seed", precision=0, elem_id=f"{self.name}_seed")

    def _results(self):
        name = self.name
        with gr.Column(variant="panel", elem_id=f"{name}_results"):
            with gr.Group(elem_id=f"{name}_gallery_container"):
                gallery = gr.Gallery(show_label=False, elem_id=f"{name}_gallery", columns=4, preview=True)
            shown, log = (gr.HTML(elem_id=f"html_{part}_{name}") for part in ("info", "log"))
        return [gallery, shown, log]

    def _generate(self, task, request: gr.Request, *given):
        """(pictures, infotext, comments or what went wrong)"""
        try:
            with _page.job(task, self.name):
                return self._made(request.username, *given)
        except Exception as error:
            errors.report("a job of the page failed", exc_info=True)
            return None, "", f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"

    def _made(self, user, *given):
        (mode, plain, masked), given = (given[:3], given[3:]) if self.is_image else ((0, None, None), given)
        values, args = dict(zip(self.fields, given)), given[len(self.fields) :]
        kind = processing.StableDiffusionProcessingTxt2Img
        if self.is_image:
            kind, inpaints = processing.StableDiffusionProcessingImg2Img, mode == 1 and masked is not None
            values.update(init_images=[masked["image"] if inpaints else plain], inpainting_fill=1)
            values.update(mask=masked["mask"] if inpaints else None, inpaint_full_res=False)
        with contextlib.closing(kind(**values)) as p:
            p.user, p.scripts, p.script_args = user, self.runner, args
            done = processing.process_images(p)
        return done.images, _paragraph(done.info), _paragraph(done.comments)


def _paragraph(text):
    return f"<p>{html.escape(text).replace(chr(10), '<br>')}</p>"


def _info_tab():
    with gr.Blocks(analytics_enabled=False) as blocks, gr.Row():
        picture = gr.Image(label="Source", type="pil", interactive=True, elem_id="pnginfo_image")
        with gr.Column():
            shown, text = gr.HTML(), gr.Textbox(visible=False)
            for target in ("txt2img", "img2img", "inpaint"):
                button = gr.Button(f"Send to {target}", elem_id=f"pnginfo_{target}_tab")
                infotext_utils.register_paste_params_button(ParamBinding(button, target, text, picture))
        picture.change(_read_info, inputs=[picture], outputs=[shown, text])
    return blocks


def _read_info(picture):
    infotext = images.read_info_from_image(picture)[0] if picture is not None else ""
    return _paragraph(infotext or ""), infotext or ""
