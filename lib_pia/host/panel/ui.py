"""The panel "Animate (PIA)" in the img2img and txt2img tabs: real components in the order of `settings.FIELDS`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr
from modules.ui_common import create_refresh_button
from modules.ui_components import FormRow, InputAccordion

from lib_pia.affinity import affinity_scores
from lib_pia.errors import PIAError
from lib_pia.host import models
from lib_pia.host.generation.request import AUTOMATIC
from lib_pia.settings import PIASettings, parse_infotext
from lib_pia.settings_fields import FIELD, FIELDS, FOLDS, Field

from . import notices, player
from .options import panel_formats

TITLE = FIELD["enabled"].label
CHART_FIELDS = ("num_frames", "motion", "magnitude", "affinity", "condition_frame")


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
    if field.optional and value is None:
        return 0
    return list(value) if isinstance(value, tuple) else value


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
        params[field.infotext] = (
            " ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
        )


@dataclasses.dataclass
class Panel:
    """What the host wants back from a script's `ui`."""

    components: list[Any]
    infotext_fields: list[tuple[Any, PasteKey]]
    paste_field_names: list[PasteKey]


def build(tab: str) -> Panel:
    """The panel for `tab` ("img2img" or "txt2img"). The host builds it several times: nothing else happens here."""
    parts: dict[str, Any] = {}

    def name_of(part: str) -> str:
        return f"{tab}_pia_{part}"

    with InputAccordion(FIELD["enabled"].default, label=TITLE, elem_id=name_of("enabled")) as parts["enabled"]:
        with FormRow():
            parts["model"] = gr.Dropdown(
                label=FIELD["model"].label,
                choices=model_choices(),
                value=AUTOMATIC,
                info=FIELD["model"].help,
                elem_id=name_of("model"),
            )
            create_refresh_button(
                parts["model"], lambda: None, lambda: {"choices": model_choices()}, name_of("model_refresh")
            )
        gr.HTML(value=notices.notice_html(), elem_id=name_of("notice"))
        with FormRow():
            parts["motion"] = _radio("motion", name_of)
            parts["magnitude"] = _radio("magnitude", name_of)
        with FormRow():
            parts["num_frames"] = _slider("num_frames", name_of)
            parts["fps"] = _slider("fps", name_of)
        gr.HTML(value="", elem_id=name_of("chart"))
        with FormRow():
            parts["affinity"] = gr.Textbox(
                label=FIELD["affinity"].label, value="", info=FIELD["affinity"].help, elem_id=name_of("affinity")
            )
            parts["condition_frame"] = _number("condition_frame", name_of)
        with FormRow():
            parts["start_from"] = _radio("start_from", name_of)
            parts["color_match"] = _slider("color_match", name_of)
        parts["formats"] = gr.CheckboxGroup(
            label=FIELD["formats"].label,
            choices=list(FIELD["formats"].choices),
            value=panel_formats(),
            info=FIELD["formats"].help,
            elem_id=name_of("formats"),
        )
        with FormRow():
            parts["loop_count"] = _number("loop_count", name_of)
            parts["ping_pong"] = gr.Checkbox(
                label=FIELD["ping_pong"].label, value=False, info=FIELD["ping_pong"].help, elem_id=name_of("ping_pong")
            )
            parts["interpolate"] = _radio("interpolate", name_of)
        with gr.Accordion(FOLDS["longer"], open=False, elem_id=name_of("longer_fold")):
            for field in FIELDS:
                if field.fold == "longer":
                    parts[field.name] = _component(field.name, name_of)
        gr.HTML(value="", elem_id=name_of("player"))
        player.add_sending(name_of)
    keys = {field.name: PasteKey(field) for field in FIELDS}
    return Panel(
        [parts[field.name] for field in FIELDS], [(parts[name], key) for name, key in keys.items()], list(keys.values())
    )


def _radio(name: str, name_of: Callable[[str], str]) -> gr.Radio:
    field = FIELD[name]
    return gr.Radio(
        label=field.label, choices=list(field.choices), value=field.default, info=field.help, elem_id=name_of(name)
    )


def _slider(name: str, name_of: Callable[[str], str]) -> gr.Slider:
    field = FIELD[name]
    return gr.Slider(
        label=field.label,
        minimum=field.low,
        maximum=field.high,
        step=field.step,
        value=field.default,
        info=field.help,
        elem_id=name_of(name),
    )


def _number(name: str, name_of: Callable[[str], str]) -> gr.Number:
    field = FIELD[name]
    return gr.Number(
        label=field.label,
        value=field.default,
        precision=0,
        minimum=field.low,
        maximum=field.high,
        info=field.help,
        elem_id=name_of(name),
    )


def _checkbox(name: str, name_of: Callable[[str], str]) -> gr.Checkbox:
    field = FIELD[name]
    return gr.Checkbox(label=field.label, value=field.default, info=field.help, elem_id=name_of(name))


def _picture(name: str, name_of: Callable[[str], str]) -> gr.Image:
    return gr.Image(label=FIELD[name].label, value=None, type="pil", elem_id=name_of(name))


def _text(name: str, name_of: Callable[[str], str]) -> gr.Textbox:
    field = FIELD[name]
    return gr.Textbox(label=field.label, value=field.default or "", info=field.help, elem_id=name_of(name))


def _component(name: str, name_of: Callable[[str], str]) -> Any:
    """The component of a field, by its kind."""
    field = FIELD[name]
    build = {"choice": _radio, "number": _slider, "bool": _checkbox, "pictures": _picture, "int": _slider}
    return (_number if field.optional else build.get(field.kind, _text))(name, name_of)


def model_choices() -> list[str]:
    return [AUTOMATIC, *(file.name for file in models.list_models())]


def preview_affinity(values: dict[str, Any]) -> list[float]:
    """The F numbers that settings would use. Raises SettingsError."""
    s = PIASettings.from_dict(values)
    scores = affinity_scores(s.num_frames, s.condition_frame, s.motion, s.magnitude, s.affinity)
    return [round(value, 6) for value in scores.tolist()]
