"""The two generation tabs and PNG Info. Ids as in the WebUI; hires fix, sketch and resize-by have no controls here, only their values."""
import types

import gradio as gr
from modules import images, img2img, infotext_utils, scripts, shared, txt2img, ui_common
from modules.call_queue import wrap_gradio_call_no_job, wrap_gradio_gpu_call
from modules.infotext_utils import ParamBinding, PasteField
from modules.shared import opts
from modules.ui_components import FormGroup, FormRow, ToolButton


def _interrupt():
    state = shared.state
    if state.job_count > 1 and not state.stopping_generation:
        state.stop_generating()
    else:
        state.interrupt()


def _toprow(tab):
    row = types.SimpleNamespace()
    with gr.Row(elem_id=f"{tab}_toprow", variant="compact"):
        with gr.Column(elem_id=f"{tab}_prompt_container", scale=6):
            row.prompt = gr.Textbox(label="Prompt", elem_id=f"{tab}_prompt", show_label=False, lines=2, placeholder="Prompt",
                                    elem_classes=["prompt"])
            row.negative = gr.Textbox(label="Negative prompt", elem_id=f"{tab}_neg_prompt", show_label=False, lines=2,
                                      placeholder="Negative prompt", elem_classes=["prompt"])
        with gr.Column(scale=1, elem_id=f"{tab}_actions_column"):
            with gr.Row(elem_id=f"{tab}_generate_box", elem_classes="generate-box"):
                interrupt = gr.Button("Interrupt", elem_id=f"{tab}_interrupt", elem_classes="generate-box-interrupt")
                skip = gr.Button("Skip", elem_id=f"{tab}_skip", elem_classes="generate-box-skip")
                row.submit = gr.Button("Generate", elem_id=f"{tab}_generate", variant="primary")
            with gr.Row(elem_id=f"{tab}_tools"):
                row.paste = ToolButton("\u2199\ufe0f", elem_id="paste", tooltip="Read the parameters out of the prompt")
            row.styles = gr.Dropdown(list(shared.prompt_styles.styles), value=[], multiselect=True, label="Styles", show_label=False,
                                     elem_id=f"{tab}_styles")
    interrupt.click(_interrupt, show_progress=False, queue=False)
    skip.click(lambda: shared.state.skip(), show_progress=False, queue=False)
    return row


def _sizes(tab):
    size = types.SimpleNamespace()
    with FormRow():
        with gr.Column(elem_id=f"{tab}_column_size", scale=4):
            size.width = gr.Slider(64, 2048, value=512, step=8, label="Width", elem_id=f"{tab}_width")
            size.height = gr.Slider(64, 2048, value=512, step=8, label="Height", elem_id=f"{tab}_height")
        with gr.Column(elem_id=f"{tab}_column_batch"):
            size.count = gr.Slider(1, 100, value=1, step=1, label="Batch count", elem_id=f"{tab}_batch_count")
            size.batch = gr.Slider(1, 8, value=1, step=1, label="Batch size", elem_id=f"{tab}_batch_size")
    size.cfg = gr.Slider(1.0, 30.0, value=7.0, step=0.5, label="CFG Scale", elem_id=f"{tab}_cfg_scale")
    return size


def _scripts(tab, runner):
    runner.setup_ui_for_section("seed")
    with gr.Row(elem_id=f"{tab}_accordions", elem_classes="accordions"):
        runner.setup_ui_for_section("accordions")
    with FormRow(elem_id=f"{tab}_override_settings_row"):
        override = gr.Dropdown([], value=[], label="Override settings", visible=False, elem_id=f"{tab}_override_settings", multiselect=True)
    with FormGroup(elem_id=f"{tab}_script_container"):
        return override, runner.setup_ui()


def _connect(tab, row, fn, js, inputs, panel):
    outputs = [panel.gallery, panel.generation_info, panel.infotext, panel.html_log]
    call = {"fn": wrap_gradio_gpu_call(fn, extra_outputs=[None, "", ""]), "_js": js, "inputs": inputs, "outputs": outputs,
            "show_progress": False}
    row.prompt.submit(**call)
    row.submit.click(**call)
    infotext_utils.register_paste_params_button(ParamBinding(row.paste, tab, source_text_component=row.prompt))


def _common_fields(row, size):
    return [PasteField(row.prompt, "Prompt", api="prompt"), PasteField(row.negative, "Negative prompt", api="negative_prompt"),
            PasteField(size.cfg, "CFG scale", api="cfg_scale"), PasteField(size.width, "Size-1", api="width"),
            PasteField(size.height, "Size-2", api="height"), PasteField(size.batch, "Batch size", api="batch_size")]


def txt2img_tab():
    runner = scripts.scripts_current = scripts.scripts_txt2img
    runner.initialize_scripts(is_img2img=False)
    with gr.Blocks(analytics_enabled=False) as interface:
        row, dummy = _toprow("txt2img"), gr.Label(visible=False)
        with gr.Row(equal_height=False):
            with gr.Column(variant="compact", elem_id="txt2img_settings"):
                runner.prepare_ui()
                runner.setup_ui_for_section("sampler")
                size = _sizes("txt2img")
                override, custom = _scripts("txt2img", runner)
            panel = ui_common.create_output_panel("txt2img", opts.outdir_txt2img_samples, row)
        with gr.Row(visible=False):
            hires = [gr.Checkbox(False), gr.Number(0.7, elem_id="txt2img_denoising_strength"),
                     gr.Number(2.0, elem_id="txt2img_hr_scale"), gr.Textbox("Latent", elem_id="txt2img_hr_upscaler"),
                     gr.Number(0, precision=0), gr.Number(0, precision=0), gr.Number(0, precision=0), gr.Textbox("Use same checkpoint"),
                     gr.Textbox("Use same sampler"), gr.Textbox("Use same scheduler"), gr.Textbox(""), gr.Textbox("")]
        inputs = [dummy, row.prompt, row.negative, row.styles, size.count, size.batch, size.cfg, size.height, size.width, *hires, override]
        _connect("txt2img", row, txt2img.txt2img, "submit", inputs + custom, panel)
        infotext_utils.add_paste_fields("txt2img", None, [*_common_fields(row, size), *runner.infotext_fields], override)
    scripts.scripts_current = None
    return interface


def _picture_tabs():
    """Components of the tabs in which pictures are given."""
    tabs = types.SimpleNamespace()

    def picture(**kwargs):
        return gr.Image(show_label=False, source="upload", interactive=True, type="pil", height=opts.img2img_editor_height, **kwargs)

    with gr.Tabs(elem_id="mode_img2img"):
        with gr.TabItem("img2img", id="img2img", elem_id="img2img_img2img_tab"):
            tabs.init = picture(elem_id="img2img_image", tool="editor", image_mode="RGBA")
        with gr.TabItem("Inpaint", id="inpaint", elem_id="img2img_inpaint_tab"):
            tabs.inpaint = picture(elem_id="img2maskimg", tool="sketch", image_mode="RGBA")
        with gr.TabItem("Inpaint upload", id="inpaint_upload", elem_id="img2img_inpaint_upload_tab"):
            tabs.base = picture(elem_id="img_inpaint_base")
            tabs.mask = picture(elem_id="img_inpaint_mask", image_mode="RGBA")
        with gr.TabItem("Batch", id="batch", elem_id="img2img_batch_tab"):
            tabs.upload = gr.Files(label="Files", interactive=True, elem_id="img2img_batch_upload")
            tabs.folder = gr.Textbox(label="Input directory", elem_id="img2img_batch_input_dir")
            tabs.out = gr.Textbox(label="Output directory", elem_id="img2img_batch_output_dir")
    with FormRow():
        tabs.resize = gr.Radio(["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"], type="index",
                               value="Just resize", label="Resize mode", elem_id="resize_mode")
    with FormGroup(elem_id="inpaint_controls"):
        tabs.blur = gr.Slider(0, 64, value=4, step=1, label="Mask blur", elem_id="img2img_mask_blur")
        tabs.invert = gr.Radio(["Inpaint masked", "Inpaint not masked"], value="Inpaint masked", type="index", label="Mask mode",
                               elem_id="img2img_mask_mode")
        tabs.fill = gr.Radio(["fill", "original", "latent noise", "latent nothing"], value="original", type="index", label="Masked content",
                             elem_id="img2img_inpainting_fill")
        tabs.area = gr.Radio(["Whole picture", "Only masked"], value="Whole picture", type="index", label="Inpaint area",
                             elem_id="img2img_inpaint_full_res")
        tabs.padding = gr.Slider(0, 256, value=32, step=4, label="Only masked padding, pixels", elem_id="img2img_inpaint_full_res_padding")
    return tabs


def img2img_tab():
    runner = scripts.scripts_current = scripts.scripts_img2img
    runner.initialize_scripts(is_img2img=True)
    with gr.Blocks(analytics_enabled=False) as interface:
        row, dummy = _toprow("img2img"), gr.Label(visible=False)
        with gr.Row(equal_height=False):
            with gr.Column(variant="compact", elem_id="img2img_settings"):
                runner.prepare_ui()
                tabs = _picture_tabs()
                runner.setup_ui_for_section("sampler")
                size = _sizes("img2img")
                strength = gr.Slider(0.0, 1.0, value=0.75, step=0.01, label="Denoising strength", elem_id="img2img_denoising_strength")
                override, custom = _scripts("img2img", runner)
            panel = ui_common.create_output_panel("img2img", opts.outdir_img2img_samples, row)
        none, zero, one, text, no = gr.State(None), gr.State(0), gr.State(1.0), gr.State(""), gr.State(False)
        source = gr.State("upload")
        inputs = [dummy, dummy, row.prompt, row.negative, row.styles, tabs.init, none, tabs.inpaint, none, none, tabs.base, tabs.mask,
                  tabs.blur, zero, tabs.fill, size.count, size.batch, size.cfg, one, strength, zero, size.height, size.width, one,
                  tabs.resize, tabs.area, tabs.padding, tabs.invert, tabs.folder, tabs.out, text, override, no, none, text, source,
                  tabs.upload]
        _connect("img2img", row, _batch_by_folder(img2img.img2img), "submit_img2img", inputs + custom, panel)
        fields = [*_common_fields(row, size), PasteField(strength, "Denoising strength"), PasteField(tabs.blur, "Mask blur"),
                  PasteField(tabs.invert, "Mask mode"), PasteField(tabs.fill, "Masked content"), PasteField(tabs.area, "Inpaint area"),
                  PasteField(tabs.padding, "Masked area padding"), *runner.infotext_fields]
        infotext_utils.add_paste_fields("img2img", tabs.init, fields, override)
        infotext_utils.add_paste_fields("inpaint", tabs.inpaint, fields, override)
    scripts.scripts_current = None
    return interface


def _batch_by_folder(fn):
    """The batch tab takes the folder when one is typed in, else the uploaded files."""
    def call(id_task: str, request: gr.Request, *args):
        args = list(args)
        if args[27]:                                   # img2img_batch_input_dir, counted from `mode`
            args[34] = "from dir"                      # img2img_batch_source_type
        return fn(id_task, request, *args)

    return call


def run_pnginfo(image):
    """(HTML of everything that the file says, infotext, "")."""
    if image is None:
        return "", "", ""
    infotext, others = images.read_info_from_image(image)
    parts = [f"<div class='infotext'><p><b>{ui_common.plaintext_to_html(str(key))}</b></p>{ui_common.plaintext_to_html(str(value))}</div>"
             for key, value in {"parameters": infotext or "", **others}.items() if value]
    return "".join(parts) or "<p>The picture holds no text.</p>", infotext or "", ""


def pnginfo_tab():
    with gr.Blocks(analytics_enabled=False) as interface, gr.Row(equal_height=False):
        with gr.Column(variant="panel"):
            image = gr.Image(label="Source", type="pil", interactive=True, elem_id="pnginfo_image")
        with gr.Column(variant="panel"):
            html = gr.HTML()
            generation_info = gr.Textbox(elem_id="pnginfo_generation_info", visible=False)
            html2 = gr.HTML()
            with gr.Row():
                buttons = infotext_utils.create_buttons(["txt2img", "img2img", "inpaint"])
        for tab, button in buttons.items():
            infotext_utils.register_paste_params_button(ParamBinding(button, tab, generation_info, image))
        image.change(wrap_gradio_call_no_job(run_pnginfo), inputs=[image], outputs=[html, generation_info, html2])
    return interface
