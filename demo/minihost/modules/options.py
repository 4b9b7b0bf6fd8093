"""Settings: what there is (`OptionInfo`), and the values."""
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules import errors
from modules._flags import cmd_opts


@dataclasses.dataclass
class OptionInfo:
    default: Any = None
    label: str = ""
    component: Any = None
    component_args: Any = None
    onchange: Callable | None = None
    section: tuple | None = None
    refresh: Callable | None = None
    comment_before: str = ""
    comment_after: str = ""
    infotext: str | None = None
    restrict_api: bool = False
    category_id: str | None = None
    do_not_save: bool = False

    def info(self, text):
        """A remark behind the setting."""
        return dataclasses.replace(self, comment_after=f"{self.comment_after} ({text})")

    def html(self, text):
        return dataclasses.replace(self, comment_after=self.comment_after + text)

    def link(self, label, url):
        return dataclasses.replace(self, comment_before=f"{self.comment_before}{label}: {url} ")

    def needs_restart(self):
        return self.info("after a restart")

    def needs_reload_ui(self):
        return self.info("after the page is loaded again")


class Options:
    """Values by attribute. `data` holds them, `data_labels` the descriptions; a value that is not set is the default."""

    def __init__(self, labels: dict[str, OptionInfo], filename: str):
        file = Path(filename)
        stored = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        vars(self).update(data_labels=dict(labels), data=stored, filename=file)

    def __getattr__(self, key):
        for values in (self.data, {name: info.default for name, info in self.data_labels.items()}):
            if key in values:
                return values[key]
        raise AttributeError(f"there is no setting {key}")

    def __setattr__(self, key, value):
        if key in vars(self) or key not in {*self.data_labels, *self.data}:
            vars(self)[key] = value
        elif cmd_opts.freeze_settings:
            raise RuntimeError("settings are frozen (--freeze-settings)")
        else:
            self.data[key] = value

    def set(self, key, value, is_api=False, run_callbacks=True):
        """Whether the value changed. KeyError where there is no such setting; `onchange` that fails takes it back."""
        info, before = self.data_labels[key], getattr(self, key)
        if before == value or info.do_not_save or (is_api and info.restrict_api):
            return False
        setattr(self, key, value)
        if run_callbacks and info.onchange is not None:
            try:
                info.onchange()
            except Exception as error:
                errors.display(error, f"changing the setting {key}")
                self.data[key] = before
                return False
        return True

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def onchange(self, key, func, call=True):
        self.data_labels[key].onchange = func
        if call:
            func()

    def save(self, filename=None):
        Path(filename or self.filename).write_text(json.dumps(self.data, indent=2, ensure_ascii=False), "utf-8")

    def dumpjson(self):
        return json.dumps({key: self.data.get(key, info.default) for key, info in self.data_labels.items()})

    def cast_value(self, key, value):
        """`value`, text of an infotext, as the setting's type."""
        kind = type(self.data_labels[key].default)
        if value is None or kind is type(None):
            return None
        return value != "False" if kind is bool else kind(value)
