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
PLACES = re.compile(r"(\d+)x(\d+)")
# what a picture that does not say otherwise was made with
USUAL = {"Clip skip": "1", "Hires resize-1": 0, "Hires resize-2": 0, "Hires sampler": "Use same sampler",
         "Hires checkpoint": "Use same checkpoint", "Hires prompt": "", "Hires negative prompt": "", "RNG": "GPU",
         "Mask mode": "Inpaint masked", "Masked content": "original", "Inpaint area": "Whole picture",
         "Masked area padding": 32, "Schedule type": "Automatic"}
paste_fields: dict[str, dict] = {}
registered_param_bindings: list[ParamBinding] = []


@dataclasses.dataclass
class ParamBinding:
    """A button that fills the fields of a tab: from a text, a picture, or the other tab."""

    paste_button: Any
    tabname: str
    source_text_component: Any = None
    source_image_component: Any = None
    source_tabname: str | None = None
    override_settings_component: Any = None
    paste_field_names: list = dataclasses.field(default_factory=list)


class PasteField(tuple):
    """(component, infotext key or function of the values)."""

    def __new__(cls, component, target, *, api=None):
        made = super().__new__(cls, (component, target))
        vars(made).update(component=component, api=api)
        return made


def quote(text):
    """In quotes where the text would not come back whole."""
    return json.dumps(text, ensure_ascii=False) if set(",\n:") & set(str(text)) else text


def unquote(text):
    try:
        return json.loads(text) if len(text) > 1 and text[0] == text[-1] == '"' else text
    except ValueError:
        return text


def parse_generation_parameters(x, skip_fields=None):
    """{key: text}; a value like 64x48 becomes Key-1 and Key-2."""
    lines = x.strip().split("\n")
    pairs = [(found["key"], unquote(found["value"])) for found in PAIR.finditer(lines[-1])]
    if len(pairs) < 3:
        pairs = []
    else:
        lines.pop()
    prompt, *negative = re.split(r"^\s*Negative prompt:", "\n".join(line.strip() for line in lines), 1, flags=re.MULTILINE)
    values = {"Prompt": prompt.strip(), "Negative prompt": "".join(negative).strip(), **USUAL}
    for key, value in pairs:
        if sides := PLACES.fullmatch(str(value)):
            values[f"{key}-1"], values[f"{key}-2"] = sides.groups()
        else:
            values[key] = value
    for key in opts.infotext_skip_pasting if skip_fields is None else skip_fields:
        values.pop(key, None)
    return values


def create_override_settings_dict(text_pairs):
    """{setting: value} of texts such as "Clip skip: 2"."""
    settings = {info.infotext: key for key, info in opts.data_labels.items() if info.infotext}
    pairs = (text.split(":", 1) for text in text_pairs or ())
    return {settings[name.strip()]: opts.cast_value(settings[name.strip()], value.strip())
            for name, value in pairs if name.strip() in settings}


def image_from_url_text(filedata):
    """The picture that a component of the page shows: a file of the server, or base64."""
    first = filedata[0] if isinstance(filedata, list) and filedata else filedata
    if not first:
        return None
    if isinstance(first, dict):
        return images.read(first["name"].split("?", 1)[0])
    return images.read(io.BytesIO(base64.b64decode(first.rsplit(",", 1)[-1])))


# ---- the page

def reset():
    paste_fields.clear()
    registered_param_bindings.clear()


def add_paste_fields(tabname, init_img, fields, override_settings_component=None):
    paste_fields[tabname] = {"init_img": init_img, "fields": list(fields), "override_settings_component": None}


def register_paste_params_button(binding):
    registered_param_bindings.append(binding)


def connect_paste_params_buttons():
    for binding in registered_param_bindings:
        _connect(binding, **paste_fields[binding.tabname])


def _connect(binding, init_img, fields, override_settings_component):
    click, quiet = binding.paste_button.click, {"show_progress": False}
    source = binding.source_image_component
    if source is not None and init_img is not None:
        from_gallery = isinstance(source, gr.Gallery)
        sides = [field for field, key in fields if key in ("Size-1", "Size-2")] if opts.send_size else []
        click(lambda shown: _picture_and_size(image_from_url_text(shown) if from_gallery else shown, len(sides)),
              _js="extract_image_from_gallery" if from_gallery else None, inputs=[source], outputs=[init_img, *sides], **quiet)
    if binding.source_text_component is not None:
        click(lambda text: _pasted(text, fields), inputs=[binding.source_text_component], outputs=[field for field, _ in fields],
              **quiet)
    if binding.source_tabname is not None:
        keys = {"Prompt", "Negative prompt", "Steps", *binding.paste_field_names, *(["Seed"] if opts.send_seed else [])}
        other = {key: field for field, key in paste_fields[binding.source_tabname]["fields"] if key in keys}
        both = [(other[key], field) for field, key in fields if key in other]
        click(lambda *values: values if len(values) > 1 else values[0], inputs=[one for one, _ in both],
              outputs=[one for _, one in both], **quiet)
    click(None, _js=f"switch_to_{binding.tabname}", inputs=None, outputs=None, **quiet)


def _picture_and_size(picture, sides):
    size = (gr.update(), gr.update()) if picture is None else picture.size
    return [picture, *size[:sides]] if sides else picture


def _pasted(text, fields):
    """What the fields of a tab become."""
    values = parse_generation_parameters(text or "")
    script_callbacks.infotext_pasted_callback(text or "", values)
    return [_update(component, key, values) for component, key in fields]


def _update(component, key, values):
    try:
        value = key(values) if callable(key) else values.get(key)
        if value is None or isinstance(value, dict):
            return gr.update() if value is None else value
        kind = type(component.value)
        if kind is bool:
            return gr.update(value=str(value) == "True")
        return gr.update(value=float(value) if kind is int else kind(value))
    except Exception:
        errors.report(f"{getattr(component, 'label', component)} could not be filled", exc_info=True)
        return gr.update()
