"""Settings: their description (`OptionInfo`) and their values (`Options`)."""
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from modules import errors
from modules.shared_cmd_options import cmd_opts

options_builtin_fields = {"data", "data_labels", "typemap", "restricted_opts"}


class OptionInfo:
    def __init__(self, default=None, label="", component=None, component_args=None, onchange=None, section=None, refresh=None,
                 comment_before='', comment_after='', infotext=None, restrict_api=False, category_id=None):
        self.default, self.label = default, label
        self.component, self.component_args = component, component_args
        self.onchange, self.refresh = onchange, refresh
        self.section, self.category_id = section, category_id
        self.comment_before, self.comment_after = comment_before, comment_after
        self.infotext, self.restrict_api = infotext, restrict_api
        self.do_not_save = False

    def link(self, label, url):
        return self._before(label, f'href="{url}" target="_blank"')

    def js(self, label, js_func):
        return self._before(label, f'onclick="{js_func}(); return false"')

    def _before(self, label, attributes):
        self.comment_before += f"[<a {attributes}>{label}</a>]"
        return self

    def info(self, info):
        return self.html(f'<span class="info">({info})</span>')

    def html(self, html):
        self.comment_after += html
        return self

    def needs_restart(self):
        return self.info("takes effect after a restart")

    def needs_reload_ui(self):
        return self.info("takes effect after the page is reloaded")


class OptionHTML(OptionInfo):
    def __init__(self, text):
        super().__init__(str(text).strip(), component=lambda **kwargs: gr.HTML(elem_classes="settings-info", **kwargs))
        self.do_not_save = True


def options_section(section_identifier, options_dict):
    """Put all options of the dict into the section (id, title) or (id, title, category id)."""
    for info in options_dict.values():
        info.section = tuple(section_identifier[:2])
        info.category_id = section_identifier[2] if len(section_identifier) > 2 else None
    return options_dict


class Options:
    typemap = {int: float}

    def __init__(self, data_labels: dict[str, OptionInfo], restricted_opts):
        self.data_labels = data_labels
        self.data = {key: info.default for key, info in data_labels.items() if not info.do_not_save}
        self.restricted_opts = restricted_opts

    def __setattr__(self, key, value):
        if key in options_builtin_fields or key not in {*self.data, *self.data_labels}:
            return super().__setattr__(key, value)
        info = self.data_labels.get(key)
        if info is not None and info.do_not_save:
            return None
        assert not cmd_opts.freeze_settings, "settings cannot be changed: --freeze-settings"
        if key in self.restricted_opts and cmd_opts.hide_ui_dir_config:
            raise RuntimeError(f"{key} cannot be set: --hide-ui-dir-config")
        if info is not None and isinstance(info.component_args, dict) and info.component_args.get("visible", True) is False:
            raise RuntimeError(f"{key} cannot be set: it is hidden")
        self.data[key] = value
        return None

    def __getattr__(self, item):
        if item in options_builtin_fields:
            raise AttributeError(item)
        if item in self.data:
            return self.data[item]
        if item in self.data_labels:
            return self.data_labels[item].default
        raise AttributeError(f"no setting {item}")

    def set(self, key, value, is_api=False, run_callbacks=True):
        """Set and, if it changed, call `onchange`. True when it changed; an unknown key raises KeyError."""
        before = self.data.get(key)
        if before == value:
            return False
        info = self.data_labels[key]
        changed = not info.do_not_save and not (info.restrict_api and is_api) and self._may_be_set(key, value)
        if changed and run_callbacks:
            try:
                (info.onchange or (lambda: None))()
            except Exception as error:
                errors.display(error, f"setting {key} to {value}")
                changed = False
                setattr(self, key, before)
        return changed

    def _may_be_set(self, key, value):
        """Set it, unless a flag or the page forbids that."""
        with contextlib.suppress(RuntimeError):
            setattr(self, key, value)
            return True
        return False

    def get_default(self, key):
        info = self.data_labels.get(key)
        return None if info is None else info.default

    def save(self, filename):
        assert not cmd_opts.freeze_settings, "settings cannot be saved: --freeze-settings"
        Path(filename).write_text(json.dumps(self.data, indent=4, ensure_ascii=False), encoding="utf8")

    def load(self, filename):
        file = Path(filename)
        self.data = json.loads(file.read_text(encoding="utf8")) if file.exists() else {}

    def onchange(self, key, func, call=True):
        self.data_labels[key].onchange = func
        if call:
            func()

    def dumpjson(self):
        values = {key: self.data.get(key, info.default) for key, info in self.data_labels.items()}
        return json.dumps({**values, "_comments_before": {}, "_comments_after": {}, "_categories": []})

    def add_option(self, key, info):
        self.data_labels[key] = info
        if not info.do_not_save:
            self.data.setdefault(key, info.default)

    def reorder(self):
        """Options of one section next to each other, sections in the order of their first option."""
        sections = {}
        for key, info in self.data_labels.items():
            sections.setdefault(info.section, {})[key] = info
        self.data_labels = {key: info for section in sections.values() for key, info in section.items()}

    def cast_value(self, key, value):
        """`value` (text from an infotext) in the type of the setting."""
        default = self.data_labels[key].default
        default = getattr(self, key, None) if default is None else default
        if value is None or default is None:
            return None
        return False if isinstance(default, bool) and value == "False" else type(default)(value)


@dataclass
class OptionsCategory:
    id: str
    label: str


class OptionsCategories:
    def __init__(self):
        self.mapping = {}

    def register_category(self, category_id, label):
        self.mapping.setdefault(category_id, OptionsCategory(category_id, label))
        return category_id


categories = OptionsCategories()
