"""Sets of settings by name: three that come with the extension, a person's own in a JSON file beside the PIA models.

The file holds {name: {setting: value}} and is read each time, so that it can be edited by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import HostError, SettingsError
from .files import replacing
from .settings import PIASettings
from .settings_fields import FIELDS
from .settings_values import shown

FILE = "presets.json"
LONGEST_NAME = 80  # own choice: characters that a dropdown shows
SHIPPED: dict[str, dict[str, Any]] = {
    "Gentle, loop": {"motion": "loop", "magnitude": "small", "color_match": 0.5},
    "Large motion": {"magnitude": "large", "color_match": 0.5},
    "Long chain": {"num_frames": 64, "magnitude": "small", "overlap": 8, "anchor": 0.1, "color_match": 0.5},
}


def own_presets(path: Path) -> dict[str, Any]:
    """The presets in the file `path`, {} without one. Raises SettingsError where it cannot be read."""
    try:
        presets = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"The presets in {path} cannot be read ({error}); correct the file, or move it away."
        ) from error
    if not isinstance(presets, Mapping):
        raise SettingsError(f"The presets in {path} are no JSON object of names; correct the file, or move it away.")
    return dict(presets)


def preset_names(path: Path) -> list[str]:
    """Those that come with the extension, then the file's; without them where it cannot be read."""
    try:
        return list(dict.fromkeys([*SHIPPED, *own_presets(path)]))
    except SettingsError:
        return list(SHIPPED)


def find_preset(name: Any, path: Path) -> dict[str, Any]:
    """The settings that the preset `name` names, checked. Raises SettingsError."""
    presets = SHIPPED if isinstance(name, str) and name in SHIPPED else {**own_presets(path), **SHIPPED}
    if not isinstance(name, str) or name not in presets:
        raise SettingsError(f"PIA preset {shown(name)} is not there; there are: {', '.join(presets)}.")
    values = presets[name]
    if not isinstance(values, Mapping):
        raise SettingsError(f"PIA preset {shown(name)} is {shown(values)}; it must be an object of PIA settings.")
    try:
        PIASettings.from_dict(values)
    except SettingsError as error:
        raise SettingsError(f"PIA preset {shown(name)} cannot be used: {error.detail}") from error
    return dict(values)


def save_preset(name: str, settings: PIASettings, path: Path) -> None:
    """Keeps what in `settings` is not default under `name`, in place of an own preset called so; pictures and clips are
    left out. Raises SettingsError and HostError, and leaves the file as it is then."""
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise SettingsError(f"PIA preset {shown(name)} has no name; type one of at most {LONGEST_NAME} characters.")
    if name in SHIPPED:
        raise SettingsError(f"PIA preset {shown(name)} comes with the extension; choose another name.")
    values = settings.to_dict()
    kept = {f.name: values[f.name] for f in FIELDS[1:] if f.restored and getattr(settings, f.name) != f.default}
    presets = {**own_presets(path), name: kept}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(presets, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise HostError(
            f"The presets cannot be written to {path} ({error.strerror or error}); check the folder and the disk."
        ) from error
