"""localizations/*.json cover every text that the panel shows, and nothing else."""

import ast
import json
import re
from pathlib import Path

import pytest

from lib_pia.settings_fields import FIELDS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "localizations").glob("*.json"))
STRING = r'"((?:[^"\\]|\\.)*)"'
WORDS = re.compile(rf"\bwords\(\s*({STRING}(?:\s*\+\s*{STRING})*)")
TEMPLATE = re.compile(r"\bwords\(`([^`]*)`")
NAMES_AND_NUMBERS = {"gif", "mp4", "webp", "webm", "apng", "png", *"012345", "PIA"}  # the same in every language


def javascript_texts():
    """The literals given to `words`; a template's {target} becomes each place that a frame can be sent to."""
    found = set()
    for file in sorted((ROOT / "javascript").glob("*.js")):
        source = file.read_text(encoding="utf-8")
        for match in WORDS.finditer(source):
            found.add("".join(json.loads(f'"{part}"') for part in re.findall(STRING, match[1])))
        for match in TEMPLATE.finditer(source):
            found |= {match[1].replace("${target}", target) for target in ("img2img", "inpaint", "extras")}
    return found


def setting_texts():
    """Labels and explanations of the settings page: the second argument of `option(...)`, and `.info(...)`."""
    tree = ast.parse((ROOT / "lib_pia/host/panel/options.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "option":
            found.add(node.args[1].value)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "info":
            found.add(f"({node.args[0].value})")
    return found


def panel_texts():
    shown = {text for field in FIELDS for text in (field.label, field.help)}
    shown.discard(FIELDS[0].help)  # the accordion's header shows no explanation
    return shown | {str(choice) for field in FIELDS for choice in field.choices} | {"Automatic"}


WANTED = (panel_texts() | javascript_texts() | setting_texts()) - NAMES_AND_NUMBERS


def test_the_texts_are_found():
    assert {"Motion", "stays like the picture", "Reset curve", "Frame to extras", "Colours of a GIF"} <= WANTED
    assert len(WANTED) > 80


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_text_of_the_panel_is_translated(file):
    words = json.loads(file.read_text(encoding="utf-8"))
    assert WANTED - set(words) == set()
    assert set(words) - WANTED == set()
    assert all(value.strip() for value in words.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_placeholders_survive_translation(file):
    for text, translated in json.loads(file.read_text(encoding="utf-8")).items():
        assert sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", translated)), text


def test_there_is_a_chinese_one():
    assert "zh_CN" in [file.stem for file in FILES]
