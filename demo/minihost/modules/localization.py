"""Translations: localizations/*.json of extensions, chosen in the settings; the page's JavaScript gets them as a dict."""
import json
import os
from pathlib import Path

from modules import errors, scripts

localizations = {}


def list_localizations(dirname):
    localizations.clear()
    for _, name, path in scripts.list_scripts("localizations", extension=".json"):
        localizations.setdefault(os.path.splitext(name)[0], []).append(path)


def localization_js(current_localization_name: str) -> str:
    data = {}
    for path in localizations.get(current_localization_name, []):
        try:
            data |= json.loads(Path(path).read_text(encoding="utf8"))
        except Exception:
            errors.report(f"{path} could not be read", exc_info=True)
    return "window.localization = " + json.dumps(data)
