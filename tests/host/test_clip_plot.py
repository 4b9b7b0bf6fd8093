"""X/Y/Z plot: axes for our settings, and a clip of the whole grid."""

import dataclasses
import types
from copy import copy

import numpy as np
import pytest
from PIL import Image

from lib_pia.errors import SettingsError
from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELD
from tests.host.test_clip_scripts import processing  # noqa: F401

CELL = {"num_frames": 3, "formats": ["gif"], "fps": 4}


@dataclasses.dataclass
class AxisOption:
    """What the host's plot calls an axis."""

    label: str
    type: type
    apply: object
    choices: object = None


def plot_of(host, monkeypatch):
    """A script like the host's plot, with one axis of its own."""
    from modules import scripts

    module = types.SimpleNamespace(AxisOption=AxisOption, axis_options=[AxisOption("Seed", int, None)])
    monkeypatch.setattr(scripts, "scripts_data", [types.SimpleNamespace(module=module), *scripts.scripts_data])
    return module


def axis(module, name):
    return next(option for option in module.axis_options if option.label == f"[PIA] {FIELD[name].label}")


def test_every_setting_that_a_text_can_say_is_an_axis_once(host, monkeypatch):
    from lib_pia.host.generation import axes

    module = plot_of(host, monkeypatch)
    axes.add()
    axes.add()
    labels = [option.label for option in module.axis_options]
    assert labels[0] == "Seed" and len(labels) == len(set(labels))
    wanted = {f"[PIA] {f.label}" for f in FIELD.values() if f.name != "enabled" and f.restored}
    assert set(labels[1:]) == wanted | {"[PIA] Preset"} and "[PIA] Magnitude" in wanted
    assert axis(module, "magnitude").choices() == ["small", "moderate", "large"]
    assert axis(module, "ping_pong").choices() == ["True", "False"] and axis(module, "fps").choices is None


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("magnitude", "large", "large"),
        ("num_frames", "8", 8),
        ("color_match", "0.5", 0.5),
        ("ping_pong", "True", True),
        ("formats", "gif webm", ("gif", "webm")),
        ("affinity", "1, 0.5, 0.8", (1.0, 0.5, 0.8)),
        ("window", "None", None),
    ],
)
def test_an_axis_changes_its_setting_alone(host, name, text, value):
    from lib_pia.host.generation.axes import with_axes

    before = PIASettings(fps=5)
    after = with_axes(before, {name: text})
    assert getattr(after, name) == value
    same = {f for f in FIELD if f not in (name, "motion")}
    assert {f: getattr(after, f) for f in same} == {f: getattr(before, f) for f in same}


def test_a_motion_that_an_axis_names_counts_although_a_curve_was_set(host):
    from lib_pia.host.generation.axes import with_axes

    after = with_axes(PIASettings(affinity=[1, 0.5]), {"motion": "loop"})
    assert after.motion == "loop" and after.affinity is None


def test_a_wrong_value_and_an_axis_without_pia_are_sentences(host):
    from lib_pia.host.generation.axes import with_axes

    with pytest.raises(SettingsError, match="magnitude"):
        with_axes(PIASettings(), {"magnitude": "huge"})
    with pytest.raises(SettingsError, match=r"\[PIA\] Magnitude, but Animate \(PIA\) is off"):
        with_axes(None, {"magnitude": "large"})
    assert with_axes(None, {}) is None


def cells(host, module, processing, texts):  # noqa: F811
    """As the plot does it: a copy of `p` per value, and the grid of the first pictures."""
    from modules import images
    from modules.processing import process_images

    p = processing(CELL, script=1)
    p.is_api = True
    made = []
    for text in texts:
        cell = copy(p)
        axis(module, "magnitude").apply(cell, text, texts)
        made.append(process_images(cell))
    grid = images.image_grid([result.images[0] for result in made], rows=1)
    return p, made, grid


def test_a_plot_has_its_cells_and_a_clip_in_which_they_all_play(host, processing, monkeypatch):  # noqa: F811
    from lib_pia.host.delivery.result import share_files
    from lib_pia.host.generation import axes
    from lib_pia.video import read_clip

    module = plot_of(host, monkeypatch)
    axes.add()
    p, made, grid = cells(host, module, processing, ["small", "large"])
    assert made[0].infotexts != made[1].infotexts and "PIA magnitude: large" in made[1].infotexts[0]
    files = share_files(p)
    assert [file.clip for file in files] == [0, 1, 2] and files[2].frames == 3 and files[2].fps == 4
    assert (files[2].width, files[2].height) == grid.size == (2 * files[0].width, files[0].height)
    whole, left = read_clip(files[2].path), read_clip(files[0].path)
    mean = lambda image: np.asarray(image.convert("RGB"), float).mean((0, 1))  # noqa: E731
    for sheet, frame in zip(whole, left):
        assert np.abs(mean(sheet.crop((0, 0, *frame.size))) - mean(frame)).max() < 4  # each has a palette of its own


def test_a_grid_of_other_pictures_is_left_alone(host):
    from modules import images

    pictures = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    assert images.image_grid(pictures, rows=1).size == (16, 8)


def test_shorter_cells_begin_again():
    from lib_pia.host.delivery.plot import grid_frames

    a = [Image.new("RGB", (2, 2), (i, 0, 0)) for i in range(3)]
    b = [Image.new("RGB", (2, 2), (0, i, 0)) for i in range(2)]
    frames = grid_frames([a, b], 1, 2)
    assert len(frames) == 3 and frames[0].size == (2, 4)
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [0, 1, 2]
    assert [frame.getpixel((0, 2))[1] for frame in frames] == [0, 1, 0]
