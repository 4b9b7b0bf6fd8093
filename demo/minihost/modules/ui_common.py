"""Parts that both tabs have: the gallery with what is below it, and the refresh button."""
from __future__ import annotations

import html
import json

import gradio as gr
from modules import images, infotext_utils, scripts, shared
from modules.infotext_utils import ParamBinding
from modules.ui_components import ToolButton

SELECTED = "(info, value) => [info, value, selected_gallery_index()]"       # adds which picture of the gallery is selected


def plaintext_to_html(text, classname=None):
    lines = "<br>".join(html.escape(line) for line in text.split("\n"))
    return f"<p class='{classname or ''}'>{lines}</p>"


def create_refresh_button(refresh_component, refresh_method, refreshed_args, elem_id):
    """A button that calls `refresh_method`, then gives a component, or a list of them, the properties `refreshed_args` (a dict
    or a function that gives one)."""
    components = refresh_component if isinstance(refresh_component, list) else [refresh_component]

    def clicked():
        refresh_method()
        found = refreshed_args() if callable(refreshed_args) else refreshed_args
        for component in components:
            vars(component).update(found)
        return [gr.update(**found)] * len(components) if len(components) > 1 else gr.update(**found)

    button = ToolButton("\U0001f504", elem_id=elem_id, tooltip="Look again")
    button.click(clicked, inputs=[], outputs=components)
    return button


def _infotext_of(info, shown, number):
    texts = json.loads(info)["infotexts"] if info else []
    return plaintext_to_html(texts[max(int(number), 0)]) if texts and int(number) < len(texts) else shown


def _save(info, gallery, number):
    """Encodes what the gallery shows once more, as the WebUI does."""
    told, saved = json.loads(info), []
    for place, file in enumerate(gallery):
        if number < 0 or place == number or not shared.opts.save_selected_only:
            text = told["infotexts"][place]
            values = infotext_utils.parse_generation_parameters(text, [])
            picture = infotext_utils.image_from_url_text(file)
            saved.append(images.save_image(picture, shared.opts.outdir_save, "", values.get("Seed"), values["Prompt"], info=text,
                                           forced_filename=f"{values.get('Seed')}-{place}", save_to_dirs=False)[0])
    return gr.update(value=saved, visible=True), plaintext_to_html(f"Saved: {', '.join(saved)}")


class OutputPanel:
    """The right column of a tab. Its parts have the ids that extensions wait for."""

    def __init__(self, tab):
        with gr.Column(variant="panel", elem_id=f"{tab}_results"):
            with gr.Group(elem_id=f"{tab}_gallery_container"):
                self.gallery = gr.Gallery(label="Output", show_label=False, elem_id=f"{tab}_gallery", columns=4, preview=True,
                                          height=shared.opts.gallery_height or None)
            with gr.Row(elem_id=f"image_buttons_{tab}", elem_classes=["image-buttons"]):
                save = ToolButton("\U0001f4be", elem_id=f"save_{tab}", tooltip="Save")
                targets = [(name, ToolButton(sign, elem_id=f"{tab}_send_to_{name}", tooltip=f"Send to {name}"))
                           for name, sign in (("img2img", "\U0001f5bc"), ("inpaint", "\U0001f3a8"))]
            files = gr.File(None, file_count="multiple", interactive=False, visible=False, elem_id=f"download_files_{tab}")
            self.infotext = gr.HTML(elem_id=f"html_info_{tab}", elem_classes="infotext")
            self.log = gr.HTML(elem_id=f"html_log_{tab}", elem_classes="html-log")
            self.info = gr.Textbox(visible=False, elem_id=f"generation_info_{tab}")
            follow = gr.Button(visible=False, elem_id=f"{tab}_generation_info_button")
        place = gr.State(-1)
        follow.click(_infotext_of, _js=SELECTED, inputs=[self.info, self.infotext, place], outputs=[self.infotext],
                     show_progress=False)
        save.click(_save, _js=SELECTED, inputs=[self.info, self.gallery, place], outputs=[files, self.log], show_progress=False)
        names = getattr(scripts, f"scripts_{tab}").paste_field_names
        for name, button in targets:
            infotext_utils.register_paste_params_button(ParamBinding(
                button, name, source_image_component=self.gallery, source_tabname=tab if tab == "txt2img" else None,
                paste_field_names=names))
