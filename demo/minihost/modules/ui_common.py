"""Parts of the page that both tabs have."""
import dataclasses
import html
import json

import gradio as gr
from modules import call_queue, images, infotext_utils, shared
from modules.ui_components import ToolButton

folder_symbol = "\U0001f4c2"
refresh_symbol = "\U0001f504"


def plaintext_to_html(text, classname=None):
    attribute = f" class='{classname}'" if classname else ""
    return f"<p{attribute}>" + "<br>\n".join(map(html.escape, text.split("\n"))) + "</p>"


def update_generation_info(generation_info, html_info, img_index):
    """The infotext of the picture that is selected."""
    try:
        return plaintext_to_html(json.loads(generation_info)["infotexts"][max(int(img_index), 0)]), gr.update()
    except (ValueError, KeyError, IndexError, TypeError):
        return html_info, gr.update()


def save_files(js_data, images, do_make_zip, index):
    """The page's save button: re-encodes what the gallery shows, as the WebUI does."""
    data = json.loads(js_data)
    chosen = [(index, images[index])] if index > -1 and shared.opts.save_selected_only else list(enumerate(images))
    p = type("Job", (), data)()
    saved = []
    for number, file in chosen:
        p.batch_index = number
        params = infotext_utils.parse_generation_parameters(data["infotexts"][number], [])
        saved.append(_images.save_image(infotext_utils.image_from_url_text(file), shared.opts.outdir_save, "", seed=params.get("Seed"),
                                        prompt=params["Prompt"], extension=shared.opts.samples_format, info=data["infotexts"][number], p=p,
                                        save_to_dirs=shared.opts.use_save_to_dirs_for_ui)[0])
    return gr.File.update(value=saved, visible=True), plaintext_to_html(f"Saved: {saved[0]}")


_images = images


@dataclasses.dataclass
class OutputPanel:
    gallery = None
    generation_info = None
    infotext = None
    html_log = None
    button_upscale = None


def _buttons(tabname, res, save):
    info_button = gr.Button(visible=False, elem_id=f"{tabname}_generation_info_button")
    info_button.click(update_generation_info, _js="(info, text, index) => [info, text, selected_gallery_index()]",
                      inputs=[res.generation_info, res.infotext, res.infotext], outputs=[res.infotext, res.infotext], show_progress=False)
    download = gr.File(None, file_count="multiple", interactive=False, show_label=False, visible=False, elem_id=f"download_files_{tabname}")
    save.click(call_queue.wrap_gradio_call_no_job(save_files), _js="(info, gallery, zip, index) => [info, gallery, false, selected_gallery_index()]",
               inputs=[res.generation_info, res.gallery, res.infotext, res.infotext], outputs=[download, res.html_log], show_progress=False)


def create_output_panel(tabname, outdir, toprow=None):
    from modules import scripts

    res = OutputPanel()
    with gr.Column(elem_id=f"{tabname}_results"), gr.Column(variant="panel", elem_id=f"{tabname}_results_panel"):
        with gr.Group(elem_id=f"{tabname}_gallery_container"):
            res.gallery = gr.Gallery(label="Output", show_label=False, elem_id=f"{tabname}_gallery", columns=4, preview=True,
                                     height=shared.opts.gallery_height or None)
        with gr.Row(elem_classes=["image-buttons"], elem_id=f"image_buttons_{tabname}"):
            save = ToolButton("\U0001f4be", elem_id=f"save_{tabname}", tooltip="Save the picture")
            buttons = {"img2img": ToolButton("\U0001f5bc\ufe0f", elem_id=f"{tabname}_send_to_img2img", tooltip="To img2img"),
                       "inpaint": ToolButton("\U0001f3a8\ufe0f", elem_id=f"{tabname}_send_to_inpaint", tooltip="To inpaint")}
        with gr.Group():
            res.infotext, res.html_log = (gr.HTML(elem_id=f"html_{name}_{tabname}", elem_classes=classes)
                                          for name, classes in (("info", "infotext"), ("log", "html-log")))
            res.generation_info = gr.Textbox(elem_id=f"generation_info_{tabname}", visible=False)
            _buttons(tabname, res, save)
    names = (scripts.scripts_img2img if tabname == "img2img" else scripts.scripts_txt2img).paste_field_names
    for target, button in buttons.items():
        infotext_utils.register_paste_params_button(infotext_utils.ParamBinding(
            button, target, source_tabname="txt2img" if tabname == "txt2img" else None, source_image_component=res.gallery,
            paste_field_names=names))
    return res


def create_refresh_button(refresh_component, refresh_method, refreshed_args, elem_id):
    """A button that calls `refresh_method` and gives the component(s) `refreshed_args` (a dict, or a function that makes one)."""
    several = refresh_component if isinstance(refresh_component, list) else [refresh_component]
    label = next((component.label for component in several if getattr(component, "label", None)), None)

    def refresh():
        refresh_method()
        args = (refreshed_args() if callable(refreshed_args) else refreshed_args) or {}
        for component in several:
            for key, value in args.items():
                setattr(component, key, value)
        updates = [gr.update(**args) for _ in several]
        return updates if len(updates) > 1 else updates[0]

    button = ToolButton(value=refresh_symbol, elem_id=elem_id, tooltip=f"{label}: refresh" if label else "Refresh")
    button.click(refresh, inputs=[], outputs=several)
    return button
