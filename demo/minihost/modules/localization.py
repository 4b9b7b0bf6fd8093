"""Translations: localizations/*.json of extensions, chosen in the settings; the page's JavaScript gets them as a dict."""
import json
import os

from modules import errors, scripts

localizations = {}


def list_localizations(dirname):
    localizations.clear()
    for file in scripts.list_scripts("localizations", ".json"):
        localizations.setdefault(os.path.splitext(file.filename)[0], []).append(file.path)


def localization_js(current_localization_name: str) -> str:
    data = {}
    for path in localizations.get(current_localization_name, []):
        try:
            with open(path, encoding="utf8") as file:
                data.update(json.load(file))
        except Exception:
            errors.report(f"{path} could not be read", exc_info=True)
    return f"window.localization = {json.dumps(data)}"
