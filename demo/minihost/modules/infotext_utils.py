"""The text under a picture ("prompt / Negative prompt: ... / Steps: 20, Sampler: ...") to values, and into the page."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import Any

import gradio as gr
from modules import errors, script_callbacks

PAIR = re.compile(r'\s*(?P<key>\w[\w \-/]+):\s*(?P<value>"(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
paste_fields: dict[str, tuple] = {}  # tab -> (its picture, its [(component, infotext key or function of the values)])
registered_param_bindings: list[ParamBinding] = []


@dataclasses.dataclass
class ParamBinding:
    """A button that fills the fields of a tab from a text and a picture."""

    paste_button: Any
    tabname: str
    source_text_component: Any = None
    source_image_component: Any = None


def quote(text):
    """In quotes where the text would not come back whole."""
    return json.dumps(text, ensure_ascii=False) if set(",\n:") & set(str(text)) else text


def parse_generation_parameters(x, skip_fields=None):
    """{key: text}; a value like 64x48 becomes Key-1 and Key-2."""
    *lines, last = x.strip().split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    text = "\n".join(line.strip() for line in lines)
    prompt, *negative = re.split(r"^\s*Negative prompt:", text, maxsplit=1, flags=re.MULTILINE)
    values = {"Prompt": prompt.strip(), "Negative prompt": "".join(negative).strip(), "Schedule type": "Automatic"}
    for key, value in pairs:
        if value[:1] == '"' == value[-1:]:
            value = json.loads(value)
        if sides := re.fullmatch(r"(\d+)x(\d+)", str(value)):
            values[f"{key}-1"], values[f"{key}-2"] = sides.groups()
        else:
            values[key] = value
    return values


def register_paste_params_button(binding):
    registered_param_bindings.append(binding)


def connect_paste_params_buttons():
    """What the registered buttons do, when both tabs are made."""
    for binding in registered_param_bindings:
        target, fields = paste_fields[binding.tabname]
        text, source = binding.source_text_component, binding.source_image_component
        click = binding.paste_button.click
        if source is not None and target is not None:
            size = [field for field, key in fields if key in ("Size-1", "Size-2")]
            click(_with_size, inputs=[source], outputs=[target, *size], show_progress=False)
        if text is not None:
            outputs = [field for field, _ in fields]
            click(functools.partial(_pasted, fields), inputs=[text], outputs=outputs, show_progress=False)
        click(None, _js=f"switch_to_{binding.tabname}", inputs=None, outputs=None, show_progress=False)


def _with_size(picture):
    return [picture, *((gr.update(), gr.update()) if picture is None else picture.size)]


def _pasted(fields, text):
    """What the fields of a tab become by an infotext."""
    values = parse_generation_parameters(text or "")
    script_callbacks.infotext_pasted_callback(text or "", values)
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
