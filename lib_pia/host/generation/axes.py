"""X/Y/Z plot: an axis "[PIA] ..." for every setting that a text can say.

The host's plot runs one generation per cell on a copy of `p`, and hands each value to the axis, which leaves it on that
copy; `with_axes` puts it in place of the request's own setting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from modules import scripts

from lib_pia.errors import SettingsError
from lib_pia.host.models import presets_file
from lib_pia.presets import find_preset, preset_names
from lib_pia.settings import PIASettings, parse_infotext
from lib_pia.settings_fields import FIELD, FIELDS, Field

ATTRIBUTE = "pia_axes"  # on a cell's `p`: {setting: text}
PREFIX = "[PIA] "
PRESET = "preset"  # the one axis that is no field


def add() -> None:
    """Adds the axes to the host's plot, once; a host without the plot has none."""
    for data in scripts.scripts_data:
        options = getattr(data.module, "axis_options", None)
        make = getattr(data.module, "AxisOption", None)
        if options is None or make is None or any(option.label.startswith(PREFIX) for option in options):
            continue
        options.extend(
            make(f"{PREFIX}{field.label}", str, _leave(field.name), choices=_choices(field))
            for field in FIELDS
            if field.name != "enabled" and field.restored
        )
        options.append(make(f"{PREFIX}Preset", str, _leave(PRESET), choices=lambda: preset_names(presets_file())))


def _leave(name: str) -> Callable[[Any, str, Any], None]:
    def leave(p: Any, value: str, values: Any) -> None:
        setattr(p, ATTRIBUTE, {**axes_of(p), name: value})

    return leave


def _choices(field: Field) -> Callable[[], list[str]] | None:
    if field.kind == "bool":
        return lambda: ["True", "False"]
    if field.kind == "choice":
        return lambda: [str(choice) for choice in field.choices]
    return None


def axes_of(p: Any) -> Mapping[str, str]:
    """What the plot chose for this cell: {setting: text}."""
    return vars(p).get(ATTRIBUTE, {})


def with_axes(settings: PIASettings | None, axes: Mapping[str, str]) -> PIASettings | None:
    """`settings` (None where PIA is off) with the values of a plot's axes, as texts. Raises SettingsError."""
    if not axes:
        return settings
    if settings is None:
        labels = {name: field.label for name, field in FIELD.items()} | {PRESET: "Preset"}
        names = ", ".join(f"{PREFIX}{labels[name]}" for name in axes)
        raise SettingsError(
            f"The plot has the axis {names}, but Animate (PIA) is off; tick it, or choose another axis."
        )
    values = find_preset(axes[PRESET], presets_file()) if PRESET in axes else {}
    values |= {name: parse_infotext(FIELD[name], text) for name, text in axes.items() if name != PRESET}
    if values.get("motion", "custom") != "custom":
        values.setdefault("affinity", None)  # a motion that an axis names counts, whatever curve was set
    return dataclasses.replace(settings, **values)
