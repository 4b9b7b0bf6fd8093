"""Settings: one table, every field checked, and what goes through API, panel and infotext comes out the same."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_pia.errors import PIAError, SettingsError
from lib_pia.settings import FIELDS, PIASettings, parse_infotext


def valid_settings():
    values = {
        "enabled": st.just(True),
        "model": st.none() | st.just("my pia, v2.safetensors"),
        "num_frames": st.integers(2, 32),
        "fps": st.integers(1, 60),
        "motion": st.sampled_from(["animate", "loop", "style_transfer"]),
        "magnitude": st.sampled_from(["small", "moderate", "large"]),
        "affinity": st.none() | st.lists(st.floats(0, 1), min_size=2, max_size=40),
        "condition_frame": st.integers(-2, 1),
        "start_from": st.sampled_from(["noise", "image"]),
        "color_match": st.floats(0, 1),
        "formats": st.lists(st.sampled_from(["gif", "mp4", "webp", "webm", "apng", "png"]), min_size=1, unique=True),
        "loop_count": st.integers(0, 1000),
        "ping_pong": st.booleans(),
        "interpolate": st.sampled_from([1, 2, 4]),
    }
    return st.fixed_dictionaries({}, optional=values).map(PIASettings.from_dict)


@given(valid_settings())
def test_dict_infotext_and_positions_round_trip(settings):
    assert PIASettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert PIASettings.from_infotext(settings.infotext()) == settings
    assert PIASettings.from_values(list(settings.to_dict().values())) == settings


def test_the_table_and_the_dataclass_agree():
    fields = dataclasses.fields(PIASettings)
    assert [f.name for f in fields] == [f.name for f in FIELDS]
    assert all(f.default == field.default for f, field in zip(fields, FIELDS) if f.name != "enabled")
    assert PIASettings().enabled and not FIELDS[0].default  # an API dict enables; the panel's checkbox starts off


ANYTHING = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


@given(st.sampled_from(FIELDS), ANYTHING)
def test_any_value_is_accepted_as_itself_or_refused_by_name(field, value):
    try:
        settings = PIASettings.from_dict({field.name: value})
    except SettingsError as error:
        assert field.name in str(error) and error.status_code == 422 and error.detail == str(error)
    else:
        assert PIASettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"num_frames": 33}, "PIA setting num_frames is 33; it must be a whole number from 2 to 32."),
        ({"num_frames": True}, "PIA setting num_frames is true; it must be a whole number from 2 to 32."),
        ({"fps": "8"}, 'PIA setting fps is "8"; it must be a whole number from 1 to 60.'),
        (
            {"motion": "dance"},
            'PIA setting motion is "dance"; it must be one of animate, loop, style_transfer, custom.',
        ),
        (
            {"formats": []},
            "PIA setting formats is []; it must be a list of at least one of gif, mp4, webp, webm, apng, png.",
        ),
        ({"affinity": [0.5]}, "PIA setting affinity is [0.5]; it must be a list of 2 to 1024 numbers from 0 to 1."),
        (
            {"affinity": [0.5, 1.5]},
            "PIA setting affinity is [0.5, 1.5]; it must be a list of 2 to 1024 numbers from 0 to 1.",
        ),
        (
            {"affinity": "0.5, high"},
            'PIA setting affinity is "0.5, high"; it must be a list of 2 to 1024 numbers from 0 to 1.',
        ),
        ({"interpolate": 3}, "PIA setting interpolate is 3; it must be one of 1, 2, 4."),
        ({"color_match": float("nan")}, "PIA setting color_match is NaN; it must be a number from 0 to 1."),
        ({"enabled": 1}, "PIA setting enabled is 1; it must be true or false."),
        ({"frames": 8}, 'PIA setting "frames" is unknown; did you mean num_frames; the settings are'),
        ({"motion": "custom"}, 'PIA setting motion is "custom" but affinity is empty'),
        (
            {"condition_frame": 16},
            "PIA setting condition_frame is 16 in a clip of 16 frames; it must be from -16 to 15.",
        ),
        (
            {"num_frames": 4, "condition_frame": -5},
            "PIA setting condition_frame is -5 in a clip of 4 frames; it must be from -4 to 3.",
        ),
    ],
)
def test_the_sentences(values, sentence):
    with pytest.raises(SettingsError) as caught:
        PIASettings.from_dict(values)
    assert str(caught.value).startswith(sentence)


def test_affinity_means_custom_and_text_is_read():
    settings = PIASettings.from_dict({"affinity": "1, 0.5 0.25; 1", "motion": "loop"})
    assert settings.affinity == (1.0, 0.5, 0.25, 1.0) and settings.motion == "custom"
    assert PIASettings.from_dict({"affinity": "  "}).motion == "animate"


def test_too_many_positions():
    with pytest.raises(SettingsError, match="was given 15 script args; it takes at most 14"):
        PIASettings.from_values([True] + [None] * 14)


def test_infotext_of_other_pictures_is_not_ours():
    assert PIASettings.from_infotext({"Steps": "20"}) is None
    with pytest.raises(SettingsError, match='num_frames is "many"'):
        parse_infotext(FIELDS[2], "many")


def test_infotext_holds_what_is_not_default():
    assert PIASettings().infotext() == {"PIA enabled": "True"}
    assert PIASettings(num_frames=8, affinity=(1.0, 0.1)).infotext() == {
        "PIA enabled": "True",
        "PIA frames": "8",
        "PIA affinity": "1.0 0.1",
    }


def test_errors_carry_what_the_api_reads():
    assert vars(PIAError("x"))["status_code"] == 500 and vars(SettingsError("y")) == {"status_code": 422, "detail": "y"}
