"""The text under a picture ("prompt / Negative prompt: ... / Steps: 20, Sampler: ...") to values, and those into the page."""
from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from typing import Any

import gradio as gr
from modules import errors, images, script_callbacks
from modules.shared import opts

PAIR = re.compile(r'\s*(?P<key>\w[\w \-/]+):\s*(?P<value>"(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
# what a picture that does not say otherwise was made with
USUAL = {"Clip skip": "1", "Hires resize-1": 0, "Hires resize-2": 0, "RNG": "GPU", "Mask mode": "Inpaint masked",
         "Masked content": "original", "Inpaint area": "Whole picture", "Masked area padding": 32, "Schedule type": "Automatic"}
paste_fields: dict[str, tuple] = {}         # tab -> (its picture, its [(component, infotext key or function of the values)])
registered_param_bindings: list[ParamBinding] = []


@dataclasses.dataclass
class ParamBinding:
    """A button that fills the fields of a tab from a text and a picture."""

    paste_button: Any
    tabname: str
    source_text_component: Any = None
    source_image_component: Any = None
    source_tabname: str | None = None
    override_settings_component: Any = None
    paste_field_names: list = dataclasses.field(default_factory=list)


def quote(text):
    """In quotes where the text would not come back whole."""
    return json.dumps(text, ensure_ascii=False) if set(",\n:") & set(str(text)) else text


def parse_generation_parameters(x, skip_fields=None):
    """{key: text}; a value like 64x48 becomes Key-1 and Key-2."""
    *lines, last = x.strip().split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    prompt, *negative = re.split(r"^\s*Negative prompt:", "\n".join(line.strip() for line in lines), maxsplit=1, flags=re.MULTILINE)
    values = {"Prompt": prompt.strip(), "Negative prompt": "".join(negative).strip(), **USUAL}
    for key, value in pairs:
        if value[:1] == '"' == value[-1:]:
            value = json.loads(value)
        if sides := re.fullmatch(r"(\d+)x(\d+)", str(value)):
            values[f"{key}-1"], values[f"{key}-2"] = sides.groups()
        else:
            values[key] = value
    return values


def image_from_url_text(filedata):
    """The picture that a component of the page shows: a file of the server, or base64."""
    first = filedata[0] if isinstance(filedata, list) and filedata else filedata
    if not first:
        return None
    return images.read(first["name"].split("?")[0] if isinstance(first, dict) else io.BytesIO(base64.b64decode(first.split(",")[-1])))


# ---- the page

def register_paste_params_button(binding):
    registered_param_bindings.append(binding)


def connect_paste_params_buttons():
    for binding in registered_param_bindings:
        picture, fields = paste_fields[binding.tabname]
        click, source = binding.paste_button.click, binding.source_image_component
        if source is not None and picture is not None:
            sides = [field for field, key in fields if key in ("Size-1", "Size-2")] if opts.send_size else []
            is_gallery = isinstance(source, gr.Gallery)
            click(lambda shown, count, gallery=is_gallery: _with_size(image_from_url_text(shown) if gallery else shown, count),
                  _js="(gallery, count) => [...extract_image_from_gallery(gallery), count]" if is_gallery else None, inputs=[source, gr.State(len(sides))],
                  outputs=[picture, *sides], show_progress=False)
        if binding.source_text_component is not None:
            click(lambda text, fields=fields: _pasted(text or "", fields), inputs=[binding.source_text_component],
                  outputs=[field for field, _ in fields], show_progress=False)
        click(None, _js=f"switch_to_{binding.tabname}", inputs=None, outputs=None, show_progress=False)


def _with_size(picture, count):
    size = (gr.update(), gr.update()) if picture is None else picture.size
    return [picture, *size[:count]] if count else picture


def _pasted(text, fields):
    """What the fields of a tab become."""
    values = parse_generation_parameters(text)
    script_callbacks.infotext_pasted_callback(text, values)
    return [_update(component, key, values) for component, key in fields]


def _update(component, key, values):
    try:
        value, kind = key(values) if callable(key) else values.get(key), type(component.value)
        if value is None:
            return gr.update()
        return gr.update(value=str(value) == "True" if kind is bool else float(value) if kind is int else kind(value))
    except Exception:
        errors.report(f"{getattr(component, 'label', component)} could not be filled", exc_info=True)
        return gr.update()
