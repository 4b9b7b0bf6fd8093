"""The page: two tabs for generating, and PNG Info. Ids are the WebUI's, where extensions look for them."""
from __future__ import annotations

import html
from types import SimpleNamespace

import gradio as gr
import gradio.utils
from modules import call_queue, images, infotext_utils, scripts, sd_models, shared
from modules.img2img import img2img
from modules.infotext_utils import ParamBinding, PasteField
from modules.shared import opts, state
from modules.txt2img import txt2img
from modules.ui_common import OutputPanel, create_refresh_button
from modules.ui_components import FormGroup, FormRow, ToolButton

gradio.utils.version_check = lambda: None                   # nothing is asked of the network
gradio.utils.get_local_ip_address = lambda: "localhost"
FILLS = ["fill", "original", "latent noise", "latent nothing"]


def create_ui():
    """gradio's Blocks of the whole page."""
    infotext_utils.reset()
    tabs = {"txt2img": _text_tab(), "img2img": _image_tab(), "PNG Info": _info_tab()}
    with gr.Blocks(theme=gr.themes.Base(), analytics_enabled=False, title="Stable Diffusion (minihost)") as page:
        _quick_settings()
        infotext_utils.connect_paste_params_buttons()
        with gr.Tabs(elem_id="tabs"):
            for label, tab in tabs.items():
                name = label.replace(" ", "").lower()
                with gr.TabItem(label, id=name, elem_id=f"tab_{name}"):
                    tab.render()
    return page


def _quick_settings():
    """The checkpoint; and all settings as text, from where the page's JavaScript takes them."""
    with FormRow(elem_id="quicksettings"):
        chosen = gr.Dropdown(list(sd_models.checkpoints_list), value=lambda: opts.sd_model_checkpoint, label="Checkpoint",
                             elem_id="setting_sd_model_checkpoint")
        create_refresh_button(chosen, sd_models.list_models, lambda: {"choices": list(sd_models.checkpoints_list)},
                              "refresh_sd_model_checkpoint")
        everything = gr.Textbox(opts.dumpjson, elem_id="settings_json", visible=False)

    def choose(title):
        opts.set("sd_model_checkpoint", title)
        opts.save()
        return gr.update(value=opts.sd_model_checkpoint), opts.dumpjson()

    chosen.select(choose, inputs=[chosen], outputs=[chosen, everything], show_progress=False)


class Tab:
    """What both tabs are made of, in the order of the page."""

    def __init__(self, name):
        self.name, self.runner = name, getattr(scripts, f"scripts_{name}")
        scripts.scripts_current = self.runner
        self.runner.initialize_scripts(is_img2img=name == "img2img")
        self.runner.prepare_ui()

    def top(self):
        with gr.Row(elem_id=f"{self.name}_toprow"):
            with gr.Column(elem_id=f"{self.name}_prompt_container", scale=6):
                self.prompt, self.negative = (
                    gr.Textbox(label=label, placeholder=label, show_label=False, lines=2, elem_id=f"{self.name}_{part}")
                    for label, part in (("Prompt", "prompt"), ("Negative prompt", "neg_prompt")))
            with gr.Column(elem_id=f"{self.name}_actions_column"):
                with gr.Row(elem_id=f"{self.name}_generate_box", elem_classes="generate-box"):
                    interrupt, skip = (gr.Button(word.title(), elem_id=f"{self.name}_{word}", elem_classes="generate-stop")
                                       for word in ("interrupt", "skip"))
                    self.generate = gr.Button("Generate", variant="primary", elem_id=f"{self.name}_generate")
                with gr.Row(elem_id=f"{self.name}_tools"):
                    paste = ToolButton("\u2199", elem_id="paste", tooltip="Read the settings out of the prompt")
        interrupt.click(_interrupt, queue=False, show_progress=False)
        skip.click(lambda: state.skip(), queue=False, show_progress=False)
        infotext_utils.register_paste_params_button(ParamBinding(paste, self.name, source_text_component=self.prompt))

    def sizes(self):
        self.runner.setup_ui_for_section("sampler")
        name = self.name
        with FormRow(elem_id=f"{name}_column_size"):
            self.width = gr.Slider(64, 2048, value=512, step=8, label="Width", elem_id=f"{name}_width")
            self.height = gr.Slider(64, 2048, value=512, step=8, label="Height", elem_id=f"{name}_height")
        with FormRow(elem_id=f"{name}_column_batch"):
            self.count = gr.Slider(1, 100, value=1, step=1, label="Batch count", elem_id=f"{name}_batch_count")
            self.size = gr.Slider(1, 8, value=1, step=1, label="Batch size", elem_id=f"{name}_batch_size")
        self.cfg = gr.Slider(1, 30, value=7.0, step=0.5, label="CFG Scale", elem_id=f"{name}_cfg_scale")

    def scripts(self):
        self.runner.setup_ui_for_section("seed")
        self.override = gr.Dropdown([], value=[], multiselect=True, visible=False, label="Override settings",
                                    elem_id=f"{self.name}_override_settings")
        with FormGroup(elem_id=f"{self.name}_script_container"):
            self.custom = self.runner.setup_ui()

    def finish(self, function, js, own, fields):
        """The right column, and what Generate and the paste buttons do. `own`: inputs between the prompts' and the sizes'."""
        panel, first = OutputPanel(self.name), gr.Textbox(visible=False)
        inputs = [first, *own, self.override, *self.custom]
        call = {"fn": call_queue.job_of_page(function, [None, "", ""]), "_js": js, "inputs": inputs, "show_progress": False,
                "outputs": [panel.gallery, panel.info, panel.infotext, panel.log]}
        self.generate.click(**call)
        self.prompt.submit(**call)
        scripts.scripts_current = None
        return [PasteField(component, key) for component, key in (
            (self.prompt, "Prompt"), (self.negative, "Negative prompt"), (self.cfg, "CFG scale"), (self.width, "Size-1"),
            (self.height, "Size-2"), (self.size, "Batch size"), *fields, *self.runner.infotext_fields)]


def _interrupt():
    """The first press in a job of several parts ends it after the part that runs."""
    if state.job_count > 1 and not state.stopping_generation:
        state.stop_generating()
    else:
        state.interrupt()


def _text_tab():
    with gr.Blocks(analytics_enabled=False) as blocks:
        tab = Tab("txt2img")
        tab.top()
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="txt2img_settings"):
                tab.sizes()
                with gr.Accordion("Hires. fix", open=False, elem_id="txt2img_hr"):
                    hires = gr.Checkbox(False, label="Hires. fix", elem_id="txt2img_enable_hr")
                    with FormRow():
                        strength = gr.Slider(0, 1, value=0.7, step=0.01, label="Denoising strength",
                                             elem_id="txt2img_denoising_strength")
                        scale = gr.Slider(1, 4, value=2.0, step=0.05, label="Upscale by", elem_id="txt2img_hr_scale")
                        upscaler = gr.Dropdown([*shared.latent_upscale_modes, "Lanczos"], value="Latent", label="Upscaler",
                                               elem_id="txt2img_hr_upscaler")
                tab.scripts()
            fields = tab.finish(txt2img, "submit", [
                tab.prompt, tab.negative, tab.count, tab.size, tab.cfg, tab.height, tab.width, hires, strength, scale, upscaler],
                [(strength, "Denoising strength"), (scale, "Hires upscale"), (upscaler, "Hires upscaler"),
                 (hires, lambda told: "Hires upscale" in told)])
        infotext_utils.add_paste_fields("txt2img", None, fields)
    return blocks


def _picture(elem_id, **kwargs):
    return gr.Image(source="upload", type="pil", image_mode="RGBA", interactive=True, show_label=False, height=720, elem_id=elem_id,
                    **kwargs)


def _picture_tabs():
    got = SimpleNamespace()
    with gr.Tabs(elem_id="mode_img2img"):
        with gr.TabItem("img2img", elem_id="img2img_img2img_tab"):
            got.init = _picture("img2img_image", tool="editor")
        with gr.TabItem("Inpaint", elem_id="img2img_inpaint_tab"):
            got.inpaint = _picture("img2maskimg", tool="sketch")
        with gr.TabItem("Inpaint upload", elem_id="img2img_inpaint_upload_tab"):
            got.base, got.mask = _picture("img_inpaint_base"), _picture("img_inpaint_mask")
        with gr.TabItem("Batch", elem_id="img2img_batch_tab"):
            got.upload = gr.Files(label="Files", interactive=True, elem_id="img2img_batch_upload")
            got.folder = gr.Textbox(label="Input directory", elem_id="img2img_batch_input_dir")
            got.out = gr.Textbox(label="Output directory", elem_id="img2img_batch_output_dir")

    def choice(label, choices, elem_id, value=None):
        return gr.Radio(choices, value=value or choices[0], type="index", label=label, elem_id=elem_id)

    got.resize = choice("Resize mode", ["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"],
                        "resize_mode")
    with gr.Accordion("Mask", open=False, elem_id="inpaint_controls"):
        got.blur = gr.Slider(0, 64, value=4, step=1, label="Mask blur", elem_id="img2img_mask_blur")
        got.invert = choice("Mask mode", ["Inpaint masked", "Inpaint not masked"], "img2img_mask_mode")
        got.fill = choice("Masked content", FILLS, "img2img_inpainting_fill", "original")
        got.area = choice("Inpaint area", ["Whole picture", "Only masked"], "img2img_inpaint_full_res")
        got.padding = gr.Slider(0, 256, value=32, step=4, label="Only masked padding", elem_id="img2img_inpaint_full_res_padding")
    return got


def _image_tab():
    with gr.Blocks(analytics_enabled=False) as blocks:
        tab = Tab("img2img")
        tab.top()
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="img2img_settings"):
                got = _picture_tabs()
                tab.sizes()
                strength = gr.Slider(0, 1, value=0.75, step=0.01, label="Denoising strength", elem_id="img2img_denoising_strength")
                tab.scripts()
            mode = gr.State(0)
            fields = tab.finish(img2img, "submit_img2img", [
                mode, tab.prompt, tab.negative, got.init, got.inpaint, got.base, got.mask, got.upload, got.folder, got.out,
                got.resize, got.blur, got.invert, got.fill, got.area, got.padding, tab.count, tab.size, tab.cfg, tab.height,
                tab.width, strength],
                [(strength, "Denoising strength"), (got.blur, "Mask blur"), (got.invert, "Mask mode"),
                 (got.fill, "Masked content"), (got.area, "Inpaint area"), (got.padding, "Masked area padding")])
        infotext_utils.add_paste_fields("img2img", got.init, fields)
        infotext_utils.add_paste_fields("inpaint", got.inpaint, fields)
    return blocks


def _info_tab():
    with gr.Blocks(analytics_enabled=False) as blocks, gr.Row():
        picture = gr.Image(label="Source", type="pil", interactive=True, elem_id="pnginfo_image")
        with gr.Column():
            shown, text = gr.HTML(elem_id="pnginfo_html"), gr.Textbox(visible=False, elem_id="pnginfo_generation_info")
            for target in ("txt2img", "img2img", "inpaint"):
                button = gr.Button(f"Send to {target}", elem_id=f"pnginfo_{target}_tab")
                infotext_utils.register_paste_params_button(ParamBinding(button, target, text, picture))
        picture.change(_read_info, inputs=[picture], outputs=[shown, text])
    return blocks


def _read_info(picture):
    infotext, others = (None, {}) if picture is None else images.read_info_from_image(picture)
    found = {key: value for key, value in {"parameters": infotext, **others}.items() if value}
    rows = (f"<p><b>{html.escape(str(key))}</b><br>{html.escape(str(value))}</p>" for key, value in found.items())
    return "".join(rows) or "<p>The picture holds no text.</p>", infotext or ""
