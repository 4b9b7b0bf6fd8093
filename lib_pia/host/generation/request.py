"""From what the host hands to a script's hooks to `PIASettings`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lib_pia.errors import SettingsError
from lib_pia.settings import FIELD, FIELDS, PIASettings

AUTOMATIC = "Automatic"  # what the panel's dropdown shows for "the only or first PIA model found"


def settings_from_args(args: Sequence[Any]) -> PIASettings | None:
    """Settings of a request, or None where PIA is off.

    `args` are the script's: either the first is an object of settings (API; giving it means enabled), or they are the
    values of the panel's components in the order of `FIELDS`. Raises SettingsError.
    """
    first = args[0] if args else False
    if isinstance(first, Mapping):
        settings = PIASettings.from_dict({"enabled": True, **_plain(first)})
        return settings if settings.enabled else None
    if not isinstance(first, bool) and first is not None:
        raise SettingsError(
            f'The first argument of script "{FIELD["enabled"].label}" is {first!r}; it must be an object of PIA '
            "settings "
            "or true or false."
        )
    if not first:
        return None
    values = dict(zip(FIELD, args))
    if len(args) > len(FIELDS):
        return PIASettings.from_values(args)  # says how many there may be
    return PIASettings(**_plain(values))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The panel's spellings of a default: "Automatic" for no model, an empty text for no curve and a motion that then
    counts."""
    values = dict(values)
    if values.get("model") == AUTOMATIC:
        values["model"] = None
    return values


def resolved(settings: PIASettings, model_name: str) -> PIASettings:
    """`settings` naming the PIA model that is used."""
    return dataclasses.replace(settings, model=model_name)
