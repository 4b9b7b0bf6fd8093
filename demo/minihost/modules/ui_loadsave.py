"""ui-config.json: what the page's components show at first. Written with the defaults, read at the next start."""
import json
import os
from pathlib import Path

import gradio as gr
from modules import errors
from modules.ui_components import InputAccordion, ToolButton

_FIELDS = {gr.Slider: ("value", "minimum", "maximum", "step"), gr.Radio: ("value",), gr.Checkbox: ("value",), gr.Textbox: ("value",),
           gr.Number: ("value",), gr.Dropdown: ("value",), ToolButton: (), gr.Button: ()}


def radio_choices(comp):
    return [choice[0] if isinstance(choice, tuple) else choice for choice in getattr(comp, "choices", None) or []]


class UiLoadsave:
    def __init__(self, filename):
        self.filename = filename
        self.ui_settings, self.component_mapping = {}, {}
        self.error_loading = False
        try:
            self.ui_settings.update(self.read_from_file())
        except FileNotFoundError:
            pass
        except Exception as error:
            self.error_loading = True
            errors.display(error, f"reading {filename}")

    def read_from_file(self):
        with open(self.filename, encoding="utf8") as file:
            return json.load(file)

    def write_to_file(self, current_ui_settings):
        Path(self.filename).write_text(json.dumps(current_ui_settings, indent=4, ensure_ascii=False), encoding="utf8")

    def dump_defaults(self):
        """Keeps a file that could not be read."""
        if not (self.error_loading and os.path.exists(self.filename)):
            self.write_to_file(self.ui_settings)

    def _field(self, path, component, field, check=None):
        if getattr(component, "do_not_save_to_config", False):
            return
        source, key = getattr(component, "custom_script_source", None), f"{path}/{field}"
        key = key if source is None else f"customscript/{source}/{key}"
        attribute = "open" if isinstance(component, gr.Accordion) and field == "value" else field
        saved = self.ui_settings.get(key)
        if saved is None:
            self.ui_settings[key] = getattr(component, attribute)
        elif check is None or check(saved):
            if isinstance(component, gr.Textbox) and field == "value":
                saved = str(saved)
            setattr(component, attribute, saved)
            init = getattr(component, "init_field", None)
            if field == "value" and init is not None:
                init(saved)
        if field == "value":
            self.component_mapping.setdefault(key, component)

    def add_component(self, path, x):
        if isinstance(x, InputAccordion):
            x.accordion.custom_script_source = getattr(x, "custom_script_source", None)
            if x.accordion.visible:
                self._field(path, x.accordion, "visible")
            self._field(path, x, "value")
            self._field(path, x.accordion, "value")
            return
        if type(x) not in _FIELDS:
            return
        if x.visible:
            self._field(path, x, "visible")
        choices = radio_choices(x)

        def known(value):
            return all(one in choices for one in value) if isinstance(value, list) else value in choices

        for field in _FIELDS[type(x)]:
            self._field(path, x, field, known if type(x) in (gr.Radio, gr.Dropdown) else None)

    def add_block(self, x, path=""):
        """All components inside a gradio block."""
        if hasattr(x, "children"):
            if isinstance(x, gr.Tabs):
                path = f"{path}/Tabs@{x.elem_id}"
            for child in x.children:
                self.add_block(child, path)
            return
        names = (getattr(x, "label", None), x.value if isinstance(x, gr.Button) else None)
        name = next((text for text in names if text is not None), None)
        if name is not None:
            self.add_component("/".join((path, str(name))), x)
