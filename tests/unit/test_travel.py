"""Prompts that name frames."""

import pytest

from lib_pia.errors import SettingsError
from lib_pia.travel import Travel, parse_travel


def test_head_and_tail_are_put_around_every_text():
    found = parse_travel("a girl\nin a garden\n0: smiling\n24: laughing,\nloudly\n\nmasterpiece\n", 32)
    assert found.frames == (0, 24)
    assert found.texts == (
        "a girl, in a garden, smiling, masterpiece",
        "a girl, in a garden, laughing, loudly, masterpiece",
    )


def test_comfyuis_spelling_and_any_order():
    assert parse_travel('"8": "left" ,\n"0": "right",', 16) == Travel((0, 8), ("right", "left"))


@pytest.mark.parametrize("prompt", ["a cat", "", "a (cat:1.2)\nratio 16:9", "a cat :0.5 AND a dog :0.7"])
def test_ordinary_prompts_are_left_alone(prompt):
    assert parse_travel(prompt, 16) is None


def test_between_two_frames():
    travel = Travel((4, 12), ("a", "b"))
    assert [travel.between(f) for f in (0, 4, 6, 12, 15)] == [
        (0, 0, 0.0),
        (0, 1, 0.0),
        (0, 1, 0.25),
        (1, 1, 0.0),
        (1, 1, 0.0),
    ]
    assert [travel.text_at(f) for f in (0, 11, 12)] == ["a", "a", "b"]
    assert Travel((3,), ("a",)).between(9) == (0, 0, 0.0)


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("16: a", "The prompt has a text for frame 16, but the clip has 16 frames; name frames from 0 to 15."),
        ("3: a\n3: b", "The prompt has two texts for frame 3; leave one of them out."),
        ("\n".join(f"{n}: a" for n in range(65)), "The prompt has texts for 65 frames; at most 64 can be named."),
    ],
)
def test_what_cannot_be_is_said(prompt, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_travel(prompt, 100 if "65" in sentence else 16)
    assert str(caught.value) == sentence
