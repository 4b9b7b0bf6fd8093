"""Settings: what there is (`OptionInfo`), and the values. Also what a request may say, by the same file."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from modules import errors
from modules._flags import HOST_FOLDER, cmd_opts

_defaults = Path(HOST_FOLDER, "defaults.yaml").read_text("utf-8")
DEFAULTS = yaml.safe_load(_defaults.replace("OUT/", f"{cmd_opts.data_dir}/outputs/"))


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

    def info(self, text):
        """A remark behind the setting."""
        self.comment_after += f" ({text})"
        return self

    def needs_reload_ui(self):
        return self.info("after the page is loaded again")


class Options:
    """Values by attribute: those of `data`, else the default of the description in `data_labels`."""

    def __init__(self, file: Path):
        labels = {key: OptionInfo(default) for rows in DEFAULTS["settings"].values() for key, default in rows.items()}
        stored = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        vars(self).update(data_labels=labels, data=stored, file=file)

    def __getattr__(self, key):
        if key in self.data:
            return self.data[key]
        if key in self.data_labels:
            return self.data_labels[key].default
        raise AttributeError(f"there is no setting {key}")

    def __setattr__(self, key, value):
        (vars(self) if key in vars(self) else self.data)[key] = value

    def set(self, key, value, is_api=False, run_callbacks=True):
        """KeyError where there is no such setting; an `onchange` that fails takes the value back."""
        info, before = self.data_labels[key], getattr(self, key)
        if before == value or (is_api and info.restrict_api):
            return
        self.data[key] = value
        try:
            if run_callbacks and info.onchange is not None:
                info.onchange()
        except Exception:
            errors.report(f"the setting {key} could not be changed", exc_info=True)
            self.data[key] = before

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def onchange(self, key, func, call=True):
        self.data_labels[key].onchange = func

    def save(self):
        self.file.write_text(json.dumps(self.data, indent=2, ensure_ascii=False), "utf-8")

    def dumpjson(self):
        return json.dumps({key: getattr(self, key) for key in self.data_labels})
