"""The panel "Animate (PIA)" in the img2img and txt2img tabs: real components in the order of `settings_fields.FIELDS`.

What everybody needs is always seen; every other field is in the fold that it names, two in a row.
"""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterator
from typing import Any

import gradio as gr
from modules.ui_common import create_refresh_button
from modules.ui_components import FormRow, InputAccordion

from lib_pia.errors import PIAError
from lib_pia.host import models, upscalers
from lib_pia.host.generation.request import AUTOMATIC
from lib_pia.settings import PIASettings, as_text, parse_infotext
from lib_pia.settings_fields import FIELD, FIELDS, FOLDS, Field
from lib_pia.windows import clip_affinity

from . import notices
from .options import panel_formats
from .presets import PresetRow

TITLE = FIELD["enabled"].label
CHART_FIELDS = ("num_frames", "motion", "magnitude", "affinity", "condition_frame")
WIDE = ("curve", "choices", "pictures", "frames", "text", "loras")  # kinds of fields that take a row of their own
FIRST = (["motion"], ["magnitude"], ["num_frames", "fps"])  # what everybody sees, as it stands in rows


class PasteKey(str):
    """An infotext key for the host's paste buttons that also reads its value; None leaves the component as it is.

    The host compares keys as strings between tabs and calls callable ones on paste.
    """

    field: Field

    def __new__(cls, field: Field) -> PasteKey:
        key = super().__new__(cls, field.infotext)
        key.field = field
        return key

    def __call__(self, params: dict[str, Any]) -> Any:
        if self.field.name == "enabled":
            return str(params.get(self)) == "True"
        if self not in params or not self.field.restored:
            return None
        return shown_value(self.field, parse_infotext(self.field, params[self]))


def shown_value(field: Field, value: Any) -> Any:
    """A setting's value as the panel's component holds it."""
    if field.kind == "curve":
        return "" if value is None else ", ".join(f"{number:g}" for number in value)
    if field.name == "model":
        return value or AUTOMATIC
    if field.kind == "text":
        return value or ""
    if field.kind == "loras":
        return as_text(field, value)
    if field.optional and value is None:
        return 0
    return list(value) if isinstance(value, tuple) else value


def default_of(field: Field) -> Any:
    """What a fresh panel's component holds."""
    return panel_formats() if field.name == "formats" else shown_value(field, field.default)


def fill_pasted(infotext: str, params: dict[str, Any]) -> None:
    """`on_infotext_pasted`: a clip's infotext names only what is not default; the rest is filled in, so that a paste
    restores it all."""
    try:
        settings = PIASettings.from_infotext(params)
    except PIAError:
        return  # values of another version: each field that can be read is pasted
    if settings is None:
        return
    for field in FIELDS[1:]:
        if not field.restored:
            continue
        value = getattr(settings, field.name)
        params[field.infotext] = "" if value is None else as_text(field, value)


@dataclasses.dataclass
class Panel:
    """What the host wants back from a script's `ui`."""

    components: list[Any]
    infotext_fields: list[tuple[Any, PasteKey]]
    paste_field_names: list[PasteKey]


def build(tab: str) -> Panel:
    """The panel for `tab` ("img2img" or "txt2img"). The host builds it several times: nothing else happens here."""
    parts: dict[str, Any] = {}
    enabled = FIELD["enabled"]
    with InputAccordion(enabled.default, label=TITLE, elem_id=_name(tab, "enabled")) as parts["enabled"]:
        gr.HTML(value=notices.notice_html(), elem_id=_name(tab, "notice"))
        presets = PresetRow(lambda part: _name(tab, part))
        _add_rows(tab, "", parts)
        gr.HTML(value=_chart_html(), elem_id=_name(tab, "chart"))
        for fold, label in FOLDS.items():
            with gr.Accordion(label, open=False, elem_id=_name(tab, f"{fold}_fold"), elem_classes=["pia-fold"]):
                _add_rows(tab, fold, parts)
    presets.connect(parts, shown_value)
    for part in parts.values():  # gradio tells nobody else that a paste or a saved value changed a component
        part.change(fn=None, _js=f"() => {{ window.pia && pia.changed('{tab}'); return []; }}")
    keys = {field.name: PasteKey(field) for field in FIELDS}
    return Panel(
        [parts[field.name] for field in FIELDS], [(parts[name], key) for name, key in keys.items()], list(keys.values())
    )


def _name(tab: str, part: str) -> str:
    return f"{tab}_pia_{part}"


def _chart_html() -> str:
    """The chart's place, with what the page's scripts need to know of the fields in folds."""
    fields = [
        {"name": field.name, "label": field.label, "fold": field.fold, "kind": field.kind, "default": default_of(field)}
        for field in FIELDS
        if field.fold
    ]
    return f'<div data-pia-fields="{html.escape(json.dumps(fields))}"></div>'


def _rows(fold: str) -> Iterator[list[Field]]:
    """The fields of a fold as they stand in its rows."""
    if not fold:
        yield from ([FIELD[name] for name in names] for names in FIRST)
        return
    row: list[Field] = []
    for field in FIELDS[1:]:
        if field.fold != fold:
            continue
        if row and (len(row) == 2 or field.kind in WIDE or row[-1].kind in WIDE):
            yield row
            row = []
        row.append(field)
    if row:
        yield row


def _add_rows(tab: str, fold: str, parts: dict[str, Any]) -> None:
    for row in _rows(fold):
        if row[0].kind in ("pictures", "frames"):  # their components have no place for an explanation
            gr.HTML(value=f'<p class="pia-hint">{html.escape(row[0].help)}</p>')
        with FormRow():
            for field in row:
                parts[field.name] = component_of(field, _name(tab, field.name))
                if field.name == "model":
                    create_refresh_button(
                        parts["model"], lambda: None, lambda: {"choices": model_choices()}, _name(tab, "model_refresh")
                    )


def component_of(field: Field, elem_id: str) -> Any:
    """The gradio component of a field, by its kind."""
    shared = {"label": field.label, "value": default_of(field), "elem_id": elem_id}
    texts = {**shared, "info": field.help}
    if field.name == "model":
        return gr.Dropdown(choices=model_choices(), allow_custom_value=True, **texts)
    if field.kind == "name":
        return gr.Dropdown(choices=upscalers.names(), **texts)
    if field.kind == "bool":
        return gr.Checkbox(**texts, elem_classes=["pia-check"])
    if field.kind in ("choice", "choices"):
        return (gr.Radio if field.kind == "choice" else gr.CheckboxGroup)(choices=list(field.choices), **texts)
    if field.kind == "pictures":
        return gr.Image(**{**shared, "value": None}, type="pil", height=240)
    if field.kind == "frames":
        return gr.File(**{**shared, "value": None}, file_count="multiple", file_types=["image", "video"], height=120)
    if field.kind == "clip":  # the player's button fills it
        return gr.Textbox(**{**texts, "value": ""}, elem_classes=["pia-hidden"])
    if field.kind in ("int", "number"):
        limits = {"minimum": 0 if field.optional else field.low, "maximum": field.high}  # 0: not set
        if field.optional or field.low < 0 or field.name == "loop_count":
            return gr.Number(precision=0, **limits, **texts)
        return gr.Slider(step=field.step, **limits, **texts)
    return gr.Textbox(**texts)


def model_choices() -> list[str]:
    return [AUTOMATIC, *(file.name for file in models.list_models())]


def preview_affinity(values: dict[str, Any]) -> list[float]:
    """The F numbers that settings would use. Raises SettingsError."""
    s = PIASettings.from_dict(values)
    return [round(value, 6) for value in clip_affinity(s).tolist()]
