"""The page: two tabs for generating, and PNG Info. Ids are the WebUI's, where extensions look for them."""
import html
import json

import gradio as gr
import gradio.utils
from modules import images, infotext_utils, processing, scripts, sd_models
from modules.call_queue import run_for_page
from modules.infotext_utils import ParamBinding
from modules.shared import opts, state
from modules.ui_common import create_refresh_button
from modules.ui_components import FormGroup, FormRow, ToolButton

gradio.utils.version_check = lambda: None                   # nothing is asked of the network
gradio.utils.get_local_ip_address = lambda: "localhost"


def create_ui():
    """gradio's Blocks of the whole page."""
    infotext_utils.registered_param_bindings.clear()
    tabs = {"txt2img": Tab("txt2img").blocks, "img2img": Tab("img2img").blocks, "PNG Info": _info_tab()}
    with gr.Blocks(theme=gr.themes.Base(), analytics_enabled=False, title="Stable Diffusion (minihost)") as page:
        with FormRow(elem_id="quicksettings"):
            chosen = gr.Dropdown(list(sd_models.checkpoints_list), value=lambda: opts.sd_model_checkpoint, label="Checkpoint",
                                 elem_id="setting_sd_model_checkpoint")
            create_refresh_button(chosen, sd_models.list_models, lambda: {"choices": list(sd_models.checkpoints_list)},
                                  "refresh_sd_model_checkpoint")
            everything = gr.Textbox(opts.dumpjson, elem_id="settings_json", visible=False)
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
    return opts.dumpjson()


def _interrupt():
    """The first press in a job of several parts ends it after the part that runs."""
    if state.job_count > 1 and not state.stopping_generation:
        state.stopping_generation = True
    else:
        state.interrupt()


class Tab:
    """One of the two tabs: its components, and what its buttons do."""

    def __init__(self, name):
        self.name, self.is_image, self.runner = name, name == "img2img", getattr(scripts, f"scripts_{name}")
        scripts.scripts_current = self.runner
        self.runner.initialize_scripts(self.is_image)
        with gr.Blocks(analytics_enabled=False) as self.blocks:
            first = self._top()
            with gr.Row(equal_height=False):
                with gr.Column(elem_id=f"{name}_settings"):
                    pictures = self._pictures() if self.is_image else ()
                    self.runner.setup_ui_for_section("sampler")
                    self._numbers()
                    if self.is_image:
                        self._image_numbers()
                    self.runner.setup_ui_for_section("seed")
                    with FormGroup(elem_id=f"{name}_script_container"):
                        custom = self.runner.setup_ui()
                outputs = self._results()
            inputs = [first, *pictures, *(self.fields[key] for key in self.fields), *custom]
            for event in (self.generate.click, self.fields["prompt"].submit):
                event(self._generate, _js="submit_img2img" if self.is_image else "submit", inputs=inputs, outputs=outputs, show_progress=False)
        scripts.scripts_current = None
        keys = {"prompt": "Prompt", "negative_prompt": "Negative prompt", "cfg_scale": "CFG scale", "width": "Size-1",
                "height": "Size-2", "batch_size": "Batch size", "denoising_strength": "Denoising strength",
                "mask_blur": "Mask blur", "inpainting_fill": "Masked content", "inpaint_full_res": "Inpaint area"}
        fields = [(self.fields[name], key) for name, key in keys.items() if name in self.fields] + self.runner.infotext_fields
        infotext_utils.paste_fields[name] = (pictures[1] if self.is_image else None), fields
        if self.is_image:
            infotext_utils.paste_fields["inpaint"] = pictures[2], fields

    def _top(self):
        self.fields, name = {}, self.name
        with gr.Row(elem_id=f"{name}_toprow"):
            with gr.Column(scale=6):
                for key, label, part in (("prompt", "Prompt", "prompt"), ("negative_prompt", "Negative prompt", "neg_prompt")):
                    self.fields[key] = gr.Textbox(label=label, placeholder=label, show_label=False, lines=2, elem_id=f"{name}_{part}")
            with gr.Column():
                with gr.Row(elem_id=f"{name}_generate_box", elem_classes="generate-box"):
                    interrupt, skip = (gr.Button(word.title(), elem_id=f"{name}_{word}", elem_classes="generate-stop")
                                       for word in ("interrupt", "skip"))
                    self.generate = gr.Button("Generate", variant="primary", elem_id=f"{name}_generate")
                with gr.Row(elem_id=f"{name}_tools"):
                    paste = ToolButton("\u2199", elem_id="paste")
        interrupt.click(_interrupt, queue=False, show_progress=False)
        skip.click(state.skip, queue=False, show_progress=False)
        infotext_utils.register_paste_params_button(ParamBinding(paste, name, self.fields["prompt"]))
        return gr.Textbox(visible=False)

    def _pictures(self):
        """(the tab that is shown, the picture of the first, picture and mask of the second)"""
        shown, given = gr.Number(0, visible=False, precision=0), {"source": "upload", "type": "pil", "image_mode": "RGBA", "show_label": False, "height": 720}
        with gr.Tabs(elem_id="mode_img2img"):
            with gr.TabItem("img2img", elem_id="img2img_img2img_tab"):
                plain = gr.Image(elem_id="img2img_image", tool="editor", **given)
            with gr.TabItem("Inpaint", elem_id="img2img_inpaint_tab"):
                masked = gr.Image(elem_id="img2maskimg", tool="sketch", **given)
        return shown, plain, masked

    def _slider(self, key, label, part, low, high, value, step=1):
        self.fields[key] = gr.Slider(low, high, value=value, step=step, label=label, elem_id=f"{self.name}_{part}")

    def _numbers(self):
        with FormRow():
            self._slider("width", "Width", "width", 64, 2048, 512, 8)
            self._slider("height", "Height", "height", 64, 2048, 512, 8)
        with FormRow():
            self._slider("n_iter", "Batch count", "batch_count", 1, 100, 1)
            self._slider("batch_size", "Batch size", "batch_size", 1, 8, 1)
        self._slider("cfg_scale", "CFG Scale", "cfg_scale", 1, 30, 7.0, 0.5)

    def _image_numbers(self):
        self._slider("denoising_strength", "Denoising strength", "denoising_strength", 0, 1, 0.75, 0.01)
        with gr.Accordion("Fitting and mask", open=False):
            self._slider("mask_blur", "Mask blur", "mask_blur", 0, 64, 4)
            for key, label, choices, value in (
                    ("resize_mode", "Resize mode", ["Just resize", "Crop and resize", "Resize and fill"], "Just resize"),
                    ("inpainting_fill", "Masked content", ["fill", "original", "latent noise", "latent nothing"], "original"),
                    ("inpaint_full_res", "Inpaint area", ["Whole picture", "Only masked"], "Whole picture")):
                self.fields[key] = gr.Radio(choices, value=value, type="index", label=label, elem_id=f"img2img_{key}")

    def _results(self):
        name = self.name
        with gr.Column(variant="panel", elem_id=f"{name}_results"):
            with gr.Group(elem_id=f"{name}_gallery_container"):
                gallery = gr.Gallery(label="Output", show_label=False, elem_id=f"{name}_gallery", columns=4, preview=True)
            shown, log = (gr.HTML(elem_id=f"html_{part}_{name}", elem_classes=f"html-{part}") for part in ("info", "log"))
            info = gr.Textbox(visible=False, elem_id=f"generation_info_{name}")
            follow, place = gr.Button(visible=False, elem_id=f"{name}_generation_info_button"), gr.Number(-1, visible=False)
        follow.click(lambda info, shown, place: _paragraph(json.loads(info)["infotexts"][max(int(place), 0)]) if info else shown,
                     _js="(info, shown, place) => [info, shown, selected_gallery_index()]", inputs=[info, shown, place],
                     outputs=[shown], show_progress=False)
        return [gallery, info, shown, log]

    def _generate(self, task, request: gr.Request, *given):
        return run_for_page(task, self._made, request.username, *given)

    def _made(self, user, *given):
        """(pictures, what is known of them, infotext, comments)"""
        (mode, plain, masked), given = (given[:3], given[3:]) if self.is_image else ((0, None, None), given)
        values, args = dict(zip(self.fields, given)), given[len(self.fields):]
        kind = processing.StableDiffusionProcessingTxt2Img
        if self.is_image:
            kind, inpaints = processing.StableDiffusionProcessingImg2Img, mode == 1 and masked is not None
            values["init_images"] = [masked["image"] if inpaints else plain]
            values["mask"] = processing.create_binary_mask(masked["mask"]) if inpaints else None
        p = kind(outpath_samples=opts.outdir_samples or getattr(opts, f"outdir_{self.name}_samples"),
                 outpath_grids=getattr(opts, f"outdir_{self.name}_grids"), **values)
        p.user, p.scripts, p.script_args = user, self.runner, args
        try:
            done = self.runner.run(p, *args) or processing.process_images(p)
        finally:
            p.close()
        return done.images, done.js(), _paragraph(done.info), _paragraph(done.comments)


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
    infotext, others = (None, {}) if picture is None else images.read_info_from_image(picture)
    told = "".join(_paragraph(f"{key}: {value}") for key, value in {"parameters": infotext, **others}.items() if value)
    return told or "<p>The picture holds no text.</p>", infotext or ""
