"""Settings: one table, every field checked, and what goes through API, panel and infotext comes out the same."""

import dataclasses
import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_pia.errors import PIAError, SettingsError
from lib_pia.settings import PIASettings, parse_infotext
from lib_pia.settings_fields import FIELD, FIELDS, FOLDS

PICTURE = "iVBORw0KGgo="  # any base64 text


def valid_settings():
    values = {
        "enabled": st.just(True),
        "model": st.none() | st.just("my pia, v2.safetensors"),
        "num_frames": st.integers(4, 512),
        "fps": st.integers(1, 60),
        "motion": st.sampled_from(["animate", "style_transfer"]),
        "magnitude": st.sampled_from(["small", "moderate", "large"]),
        "affinity": st.none() | st.lists(st.floats(0, 1), min_size=2, max_size=40),
        "condition_frame": st.integers(-2, 1),
        "start_from": st.sampled_from(["noise", "image"]),
        "color_match": st.floats(0, 1),
        "formats": st.lists(st.sampled_from(["gif", "mp4", "webp", "webm", "apng", "png"]), min_size=1, unique=True),
        "loop_count": st.integers(0, 1000),
        "ping_pong": st.booleans(),
        "interpolate": st.sampled_from([1, 2, 4]),
        "longer": st.just("chain"),
        "window": st.none() | st.integers(8, 32),
        "overlap": st.none() | st.integers(1, 4),
        "anchor": st.floats(0, 1),
        "continue_whole": st.booleans(),
        "mask_means": st.sampled_from(["keep", "motion", "both"]),
        "attention_of": st.none() | st.sampled_from(["star", "red star", "火"]),
        "fast": st.sampled_from([0, 2, 3, 4, 5]),
    }
    return st.fixed_dictionaries({}, optional=values).map(PIASettings.from_dict)


@given(valid_settings())
def test_dict_infotext_and_positions_round_trip(settings):
    assert PIASettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert PIASettings.from_infotext(settings.infotext()) == settings
    assert PIASettings.from_values(list(settings.to_dict().values())) == settings


FILES = {"pictures": [{"frame": -1, "image": PICTURE}], "continue_from": PICTURE}


def test_files_go_through_dict_and_positions_and_are_only_named_in_the_infotext():
    settings = PIASettings.from_dict(FILES)
    assert "PIA control clip" in PIASettings(control_video=PICTURE).infotext()
    assert PIASettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert PIASettings.from_values(list(settings.to_dict().values())) == settings
    text = settings.infotext()
    assert text["PIA pictures"].split()[0] == "-1" and len(text["PIA pictures"].split()[1]) == 10
    assert PICTURE not in str(text) and len(text["PIA continue from"]) == 10
    assert PIASettings.from_infotext(text) == PIASettings()
    assert "image" not in repr(settings.pictures) or PICTURE not in repr(settings.pictures)


def test_old_positional_lists_keep_their_order():
    """The first 14 fields stand where they stood before clips could be longer than a window."""
    old = "enabled model num_frames fps motion magnitude affinity condition_frame start_from color_match formats"
    assert [field.name for field in FIELDS[:14]] == [*old.split(), "loop_count", "ping_pong", "interpolate"]
    assert PIASettings.from_values([True, None, 8]).num_frames == 8


def test_every_fold_is_known():
    assert {field.fold for field in FIELDS} == {"", *FOLDS}


def test_the_table_and_the_dataclass_agree():
    fields = dataclasses.fields(PIASettings)
    assert [f.name for f in fields] == [f.name for f in FIELDS]
    assert all(f.default == field.default for f, field in zip(fields, FIELDS) if f.name != "enabled")
    assert PIASettings().enabled and not FIELDS[0].default  # an API dict enables; the panel's checkbox starts off


LEAVES = st.one_of(
    st.integers(),
    st.integers(-512, 512),
    st.sampled_from([10**400, -(10**400), 1e308, 2**63]),
    st.floats(),
    st.text(max_size=5),
    st.text(st.characters(), max_size=5),
    st.sampled_from(["\ud800", "\0", "clip:1", "data:,", "=", PICTURE, *FIELD["motion"].choices]),
    st.booleans(),
    st.none(),
)
KEYS = st.sampled_from(["frame", "image", "\udfff"]) | st.text(max_size=2)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
DEEP = functools.reduce(lambda inner, _: [inner], range(5000), 1)


@given(st.dictionaries(st.sampled_from([*FIELD, "fpz", "\ud800"]), ANYTHING, max_size=5))
def test_hostile_requests_are_settings_or_a_sentence_that_can_be_sent(values):
    for read in (PIASettings.from_dict, lambda v: PIASettings.from_values([True, *v.values()])):
        try:
            settings = read(values)
        except SettingsError as error:
            error.detail.encode("utf-8")
            assert len(error.detail) < 1000 and "\n" not in error.detail
        else:
            json.dumps(settings.infotext()).encode()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_numbers_of_any_size_and_depth_are_refused_by_name(field):
    for value in (10**400, -(10**5000), DEEP, {"a": DEEP}, "\ud800", [10**400, 1], [{"frame": 10**400}], [10**5000]):
        with pytest.raises(SettingsError, match=f"PIA setting {field.name} is "):
            PIASettings.from_dict({field.name: value})


@given(st.sampled_from(FIELDS), ANYTHING)
def test_any_value_is_accepted_as_itself_or_refused_by_name(field, value):
    try:
        settings = PIASettings.from_dict({field.name: value})
    except SettingsError as error:
        assert field.name in str(error) or "has frame 0" in str(error)
        assert error.status_code == 422 and error.detail == str(error)
    else:
        assert PIASettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"num_frames": 513}, "PIA setting num_frames is 513; it must be a whole number from 2 to 512."),
        ({"num_frames": True}, "PIA setting num_frames is true; it must be a whole number from 2 to 512."),
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
        ({"fast": 1}, "PIA setting fast is 1; it must be one of 0, 2, 3, 4, 5."),
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
        ({"window": 7}, "PIA setting window is 7; it must be a whole number from 8 to 32, or null."),
        ({"overlap": 9}, "PIA setting overlap is 9 with windows of 16 frames; it must be at most 8, half a window."),
        (
            {"window": 8, "overlap": 5},
            "PIA setting overlap is 5 with windows of 8 frames; it must be at most 4, half a window.",
        ),
        (
            {"motion": "loop", "num_frames": 48},
            "A loop of 48 frames is longer than one window of 16, and a chain does not come back to the picture; "
            'set longer to "slide".',
        ),
        (
            {"motion": "loop", "num_frames": 12, "window": 8},
            "A loop of 12 frames is longer than one window of 8",
        ),
        ({"pictures": [{"frame": 16, "image": PICTURE}]}, "PIA setting pictures is 16 in a clip of 16 frames; it must"),
        ({"pictures": [{"frame": 3}]}, 'PIA setting pictures is {"frame": 3}; it must be a list of at most 16 objects'),
        (
            {"pictures": [{"frame": -16, "image": PICTURE}]},
            "PIA setting pictures has frame 0, which has a picture already; give every picture a frame of its own.",
        ),
        (
            {"pictures": [{"frame": -1, "image": PICTURE}, {"frame": 15, "image": PICTURE}]},
            "PIA setting pictures has frame 15, which has a picture already",
        ),
        ({"motion": "loop", "pictures": [{"frame": -1, "image": PICTURE}]}, "A loop comes back to its picture"),
        ({"continue_from": "a.gif"}, 'PIA setting continue_from is "a.gif"; it must be the base64 text of a clip.'),
        (
            {"continue_from": PICTURE, "longer": "slide"},
            'A clip that goes on from another one cannot have longer "slide"; leave it or continue_from out.',
        ),
        ({"continue_from": PICTURE, "motion": "loop"}, 'A clip that goes on from another one cannot have motion'),
        ({"continue_from": PICTURE, "condition_frame": 1}, "A clip that goes on from another one cannot have a condi"),
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
    with pytest.raises(SettingsError, match="was given 26 script args; it takes at most 25"):
        PIASettings.from_values([True] + [None] * 25)


@pytest.mark.parametrize(
    "values, long",
    [({"num_frames": 32}, False), ({"num_frames": 33}, True), ({"num_frames": 32, "window": 16}, True),
     ({"num_frames": 16, "window": 16}, False)],
)  # fmt: skip
def test_one_window_or_several(values, long):
    assert PIASettings.from_dict(values).is_long is long


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


@pytest.mark.parametrize("name, value", [("control_video", "AAAA"), ("attention_of", "star")])
def test_what_reads_every_frame_needs_frames_that_are_sampled_once(name, value):
    for other in ({"num_frames": 48, "longer": "slide"}, {"continue_from": "AAAA"}):
        with pytest.raises(SettingsError, match=f"A clip with {name} cannot have"):
            PIASettings(**{name: value}, **other)
    PIASettings(num_frames=48, **{name: value})
