"""The panel: real components in the order of the settings' table, no side effects, and infotext there and back."""

from __future__ import annotations

import gradio as gr
import pytest

from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELDS
from tests.host.clips import TITLE, animate
from tests.scenarios.clips import MANY_FIELDS


@pytest.fixture
def built(host):
    from lib_pia.host.panel import ui

    with gr.Blocks():
        return ui.build("img2img")


def test_components_follow_the_table(built):
    assert [component.label for component in built.components] == [field.label for field in FIELDS]
    assert [component.elem_id for component in built.components][1:] == [
        f"img2img_pia_{field.name}" for field in FIELDS[1:]
    ]
    for component, field in zip(built.components, FIELDS):
        assert hasattr(component, "value")
        if field.choices and field.kind != "choices":
            assert component.choices == [
                (str(c), c) if not isinstance(c, tuple) else c for c in component.choices
            ] or list(field.choices)
        if field.low is not None and field.kind in ("int", "number"):
            assert (component.minimum, component.maximum) == (0 if field.optional else field.low, field.high)
        if field.name != "enabled" and field.kind not in ("pictures", "frames"):  # files have no place for it
            assert component.info == field.help


def test_defaults_of_the_panel_are_the_defaults_of_the_settings(built):
    from lib_pia.host.generation.request import settings_from_args

    values = [component.value for component in built.components]
    assert settings_from_args(values) is None
    assert settings_from_args([True, *values[1:]]) == PIASettings()


def test_building_it_again_changes_nothing(host, built):
    from lib_pia.host.panel import ui

    with gr.Blocks():
        again = ui.build("img2img")
    assert [component.value for component in again.components] == [component.value for component in built.components]


def test_both_tabs_have_the_panel_in_the_api(host):
    found = [script for script in host.get("/sdapi/v1/script-info") if script["name"] == TITLE.lower()]
    assert [script["is_img2img"] for script in found] == [False, True]
    assert [arg["label"] for arg in found[0]["args"]] == [field.label for field in FIELDS]


SETTINGS = {**MANY_FIELDS, "formats": ["webp"], "interpolate": 2, "model": "tiny_pia.safetensors"}


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        {**SETTINGS, "affinity": [1.0, 0.3, 0.75], "motion": "custom"},
        {"num_frames": 16, "formats": ["gif", "mp4"]},
    ],
    ids=["all", "curve", "defaults"],
)
def test_infotext_of_a_clip_restores_every_field(host, built, settings):
    from modules import script_callbacks
    from modules.infotext_utils import parse_generation_parameters

    from lib_pia.host.generation.request import settings_from_args

    wanted = PIASettings.from_dict({**settings, "model": "tiny_pia.safetensors"})
    infotext = (
        animate(host, {**settings, **({"num_frames": 4} if settings["num_frames"] == 16 else {})}, steps=1)["info"][
            "infotexts"
        ][0]
        if settings["num_frames"] != 16
        else ", ".join(["a cat\nSteps: 1, Sampler: Euler", *map(": ".join, wanted.infotext().items())])
    )
    params = parse_generation_parameters(infotext)
    script_callbacks.infotext_pasted_callback(infotext, params)
    pasted = [key(params) for _, key in built.infotext_fields]
    assert [value is None for value in pasted] == [not field.restored for field in FIELDS]  # a picture stays as it is
    assert settings_from_args(pasted) == wanted


def test_pasting_an_ordinary_picture_switches_pia_off_and_keeps_the_rest(built):
    values = [key({"Prompt": "a cat", "Steps": "20"}) for _, key in built.infotext_fields]
    assert values == [False] + [None] * (len(FIELDS) - 1)


def test_keys_are_strings_for_the_send_to_buttons(built):
    assert built.paste_field_names == [field.infotext for field in FIELDS]
    assert all(isinstance(key, str) and key in built.paste_field_names for _, key in built.infotext_fields)


def test_a_value_that_another_version_wrote_does_not_stop_the_paste(built):
    from lib_pia.host.panel import ui

    params = {"PIA enabled": "True", "PIA frames": "99", "PIA fps": "12"}
    ui.fill_pasted("", params)
    keys = {key.field.name: key for _, key in built.infotext_fields}
    assert keys["fps"](params) == 12 and keys["enabled"](params) is True


def test_the_chart_shows_what_would_be_used(host):
    from lib_pia.affinity import affinity_scores
    from lib_pia.errors import SettingsError
    from lib_pia.host.panel import ui

    shown = ui.preview_affinity({"num_frames": 8, "motion": "loop", "magnitude": "small", "condition_frame": -1})
    assert shown == pytest.approx(affinity_scores(8, 7, "loop", "small").tolist(), abs=1e-6)
    assert ui.preview_affinity({"num_frames": 3, "motion": "custom", "affinity": "1, 0"}) == [1.0, 0.5, 0.0]
    with pytest.raises(SettingsError, match="affinity is empty"):
        ui.preview_affinity({"motion": "custom"})


def test_the_settings_page_has_its_section(host):
    labels = host.shared.opts.data_labels
    assert {name for name, info in labels.items() if info.section == ("pia", "PIA")} >= {
        "pia_model_dir",
        "pia_formats",
        "pia_gif_colors",
        "pia_mp4_crf",
        "pia_keep_in_vram",
    }


def test_the_panel_starts_with_the_formats_of_the_settings(host):
    from lib_pia.host.panel import ui

    with host.options(pia_formats=["webp", "gif"]), gr.Blocks():
        built = ui.build("txt2img")
    assert built.components[[field.name for field in FIELDS].index("formats")].value == ["gif", "webp"]
