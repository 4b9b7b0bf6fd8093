"""Settings: what there is (`OptionInfo`), and the values. `DEFAULTS` also has what a request may say."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml
from modules import errors, paths

_defaults = Path(paths.script_path, "defaults.yaml").read_text("utf-8")
DEFAULTS = yaml.safe_load(_defaults.replace("OUT/", f"{paths.data_path}/outputs/"))


@dataclasses.dataclass
class OptionInfo:
    default: Any = None
    label: str = ""
    component: Any = None
    component_args: Any = None
    section: tuple | None = None
    restrict_api: bool = False

    def info(self, text=""):
        """A remark for the settings page, which is not here."""
        return self

    needs_reload_ui = info


class Options:
    """Values by attribute: those of `data`, else the default of the description in `data_labels`."""

    def __init__(self, file: Path):
        labels = {key: OptionInfo(default) for rows in DEFAULTS["settings"].values() for key, default in rows.items()}
        stored = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        vars(self).update(data_labels=labels, data=stored, file=file, changed=lambda key: None)

    def __getattr__(self, key):
        if key in self.data:
            return self.data[key]
        if key in self.data_labels:
            return self.data_labels[key].default
        raise AttributeError(f"there is no setting {key}")

    def __setattr__(self, key, value):
        (vars(self) if key in vars(self) else self.data)[key] = value

    def set(self, key, value, is_api=False, run_callbacks=True):
        """KeyError where there is no such setting; where `changed(key)` fails, the value is taken back."""
        info, before = self.data_labels[key], getattr(self, key)
        if before == value or (is_api and info.restrict_api):
            return
        self.data[key] = value
        try:
            if run_callbacks:
                self.changed(key)
        except Exception:
            errors.report(f"the setting {key} could not be changed", exc_info=True)
            self.data[key] = before

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def all(self):
        return {key: getattr(self, key) for key in self.data_labels}

    def save(self):
        self.file.write_text(json.dumps(self.data, indent=2, ensure_ascii=False), "utf-8")
