"""The panel's presets: choosing one fills the controls, saving keeps what they hold under a name."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from modules.ui_common import create_refresh_button
from modules.ui_components import FormRow

from lib_pia.errors import PIAError
from lib_pia.host import models
from lib_pia.host.generation.request import settings_from_args
from lib_pia.presets import SHIPPED, find_preset, own_presets, preset_names, save_preset
from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELD, Field

STAYS = ("model", "formats")  # where a preset does not name them, the panel's own stay
FILLED = [field for field in FIELD.values() if field.restored and field.name != "enabled"]
LABEL, HELP, SAVE = "Preset", "Choosing one fills the controls. To save them, type a name and press Save.", "Save"

Shown = Callable[[Field, Any], Any]  # a setting's value as its component holds it


class PresetRow:
    """The row with the dropdown; `connect` ties it to the controls, once they are there."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        with FormRow():
            self.choice = gr.Dropdown(
                choices=names(), value="", label=LABEL, info=HELP, allow_custom_value=True, elem_id=name_of("preset")
            )
            create_refresh_button(self.choice, lambda: None, lambda: {"choices": names()}, name_of("preset_refresh"))
            self.save = gr.Button(SAVE, elem_id=name_of("preset_save"), elem_classes=["pia-save"])
        self.message = gr.HTML(value="", elem_id=name_of("preset_message"))
        self.choice.do_not_save_to_config = True

    def connect(self, parts: Mapping[str, Any], shown: Shown) -> None:
        filled = [parts[field.name] for field in FILLED]
        everything = [parts[name] for name in FIELD]
        self.choice.input(
            fn=lambda name: chosen(name, shown),
            inputs=[self.choice],
            outputs=[self.message, *filled],
            show_progress=False,
            queue=False,
        )
        self.save.click(
            fn=saved,
            inputs=[self.choice, *everything],
            outputs=[self.message, self.choice],
            show_progress=False,
            queue=False,
        )


def names() -> list[str]:
    return preset_names(models.presets_file())


def chosen(name: Any, shown: Shown) -> list[Any]:
    """The message, and what each of `FILLED` then holds. A name that is not there yet may be one to save under."""
    unchanged = [gr.update() for _ in FILLED]
    try:
        if not isinstance(name, str) or (name not in SHIPPED and name not in own_presets(models.presets_file())):
            return [gr.update(value=""), *unchanged]
        values = find_preset(name, models.presets_file())
    except PIAError as error:
        return [gr.update(value=told(error.detail)), *unchanged]
    settings = PIASettings.from_dict(values)
    return [
        gr.update(value=""),
        *(
            gr.update() if field.name in STAYS and field.name not in values
            else gr.update(value=shown(field, getattr(settings, field.name)))
            for field in FILLED
        ),
    ]  # fmt: skip


def saved(name: Any, *values: Any) -> tuple[Any, Any]:
    """Saves the controls' `values` (in the order of `FIELDS`); the message and the dropdown."""
    try:
        settings = settings_from_args([True, *values[1:]])
        save_preset(str(name or ""), settings, models.presets_file())
    except PIAError as error:
        return gr.update(value=told(error.detail)), gr.update()
    return gr.update(value=""), gr.update(choices=names(), value=str(name).strip())


def told(sentence: str) -> str:
    return f'<p class="pia-message">{html.escape(sentence)}</p>'
