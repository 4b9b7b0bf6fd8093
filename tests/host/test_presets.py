"""Presets by the API, in the panel and as an axis of the plot."""

from __future__ import annotations

import json

import pytest

from demo.minihost import HostResponseError
from lib_pia.presets import SHIPPED
from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELD, FIELDS
from tests.host.clips import animate

OWN = {"Mine": {"magnitude": "small", "fps": 12, "formats": ["webp"]}}


@pytest.fixture
def file(host):
    from lib_pia.host import models

    path = models.presets_file()
    path.write_text(json.dumps(OWN), encoding="utf-8")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def panel(host):
    from lib_pia.host.panel import presets, ui

    def choose(name):
        message, *rest = presets.chosen(name, ui.shown_value)
        return message["value"], {
            field.name: part["value"] for field, part in zip(presets.FILLED, rest) if "value" in part
        }

    return choose


def test_what_is_given_wins_over_the_preset(host, file):
    answer = animate(host, {"preset": "Mine", "fps": 24}, steps=1)
    told = answer["info"]["infotexts"][0]
    assert "PIA magnitude: small" in told and "PIA fps: 24" in told and "reset" not in told
    assert [name["format"] for name in answer["info"]["pia"]] == ["png"] * 4  # `animate` asks for these


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_ones_are_there_without_a_file(host, name):
    from lib_pia.host.generation.request import settings_from_args

    assert settings_from_args([{"preset": name}]) == PIASettings(**SHIPPED[name])
    assert settings_from_args([{"preset": None}]) == PIASettings()


def test_the_panels_spellings_are_kept_in_a_preset(host, file):
    from lib_pia.host.generation.request import settings_from_args

    file.write_text(json.dumps({"Mine": {"model": "Automatic", "window": 0}}))
    with pytest.raises(HostResponseError, match="PIA setting window is 0"):  # a preset is written as the API is
        animate(host, {"preset": "Mine"})
    file.write_text(json.dumps({"Mine": {"fps": 3}}))
    assert settings_from_args([{"preset": "Mine", "window": 0}]).window is None


def test_an_unknown_one_and_a_broken_file_are_sentences(host, file):
    with pytest.raises(HostResponseError, match='PIA preset "Big" is not there; there are: Mine, Gentle, loop'):
        animate(host, {"preset": "Big"})
    file.write_text("{")
    with pytest.raises(HostResponseError, match="cannot be read .*; correct the file, or move it away"):
        animate(host, {"preset": "Mine"})
    assert len(animate(host, {"preset": "Large motion"}, steps=1)["images"]) == 4


def test_choosing_fills_every_control_but_the_persons_own_choices(panel, file):
    message, filled = panel("Long chain")
    assert message == "" and filled["num_frames"] == 64 and filled["overlap"] == 8 and filled["fps"] == 8
    assert set(filled) == {f.name for f in FIELDS if f.restored} - {"enabled", "model", "formats"}
    assert panel("Mine")[1]["formats"] == ["webp"]
    assert panel("a new name") == panel(None) == panel("") == ("", {})
    file.write_text("{")
    assert panel("Large motion")[1]["magnitude"] == "large"
    message, filled = panel("Mine")
    assert "correct the file, or move it away." in message and filled == {}


def test_saving_keeps_what_the_controls_hold(host, panel, file):
    from lib_pia.host.panel import presets, ui

    values = {field.name: ui.default_of(field) for field in FIELDS}
    values |= {"enabled": False, "num_frames": 40, "affinity": "1, 0.5", "upscale": 2, "pictures": None}
    message, choice = presets.saved(" Walk ", *values.values())
    assert message["value"] == "" and choice["value"] == "Walk" and choice["choices"][-1] == "Walk"
    filled = panel("Walk")[1]
    assert {name: filled[name] for name in ("num_frames", "affinity", "upscale", "magnitude")} == {
        "num_frames": 40, "affinity": "1, 0.5", "upscale": 2.0, "magnitude": "moderate"}  # fmt: skip
    before = file.read_text()
    for name, bad in (("", values), ("Large motion", values), ("x", values | {"num_frames": 1})):
        message, choice = presets.saved(name, *bad.values())
        assert "pia-message" in message["value"] and "value" not in choice and file.read_text() == before


def test_a_preset_is_an_axis_of_the_plot(host, file):
    from lib_pia.host.generation.axes import with_axes

    chosen = with_axes(PIASettings(fps=5, num_frames=8), {"preset": "Mine", "num_frames": "6"})
    assert (chosen.magnitude, chosen.fps, chosen.num_frames) == ("small", 12, 6)
    assert FIELD["fps"].default == 8
