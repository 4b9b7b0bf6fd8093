"""Prompts that name frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_pia.errors import SettingsError
from lib_pia.prompt_travel import Travel, parse_travel, put_around


def test_head_and_tail_are_put_around_every_text():
    found = parse_travel("a girl\nin a garden,\n0: smiling,\n24: laughing\n\nmasterpiece\nbest\n", 32)
    assert found == Travel(
        (0, 24),
        ("a girl, in a garden, smiling, masterpiece, best", "a girl, in a garden, laughing, masterpiece, best"),
    )


def test_the_tail_needs_no_empty_line_and_texts_may_have_several_lines():
    """As the documentation of sd-webui-animatediff has it."""
    assert parse_travel("0: closed mouth\nred lips\n8: open mouth\nsmile", 16).texts == (
        "closed mouth, red lips, smile",
        "open mouth, smile",
    )


@pytest.mark.parametrize(
    "prompt",
    [
        '"8": "left" ,\n"0": "right",',
        '"0": "right", "8": "left"',
        "8:left\n0 :  right ",
        "\n0: right\r\n\n8: left\n",
    ],
)
def test_other_spellings_and_any_order(prompt):
    assert parse_travel(prompt, 16) == Travel((0, 8), ("right", "left"))


def test_quoted_texts():
    assert parse_travel(r'"0": "a \"big\" cat, (red:1.2)", "8": "a \\(b\\)"', 16).texts == (
        'a "big" cat, (red:1.2)',
        r"a \(b\)",
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat",
        "",
        "1girl: smiling",
        "16:9 photo",
        "16:9, photo\n4:3",
        "12:30\n18:45 in the evening",
        "8: the lucky number",  # one number alone, and not the beginning
        "a (cat:1.2)\nratio 16:9",
        "a cat :0.5 AND a dog :0.7",
        "[red:blue:0.5] cat\n[0:1:2]",
        "10000: a\n20000: b",
    ],
)
def test_ordinary_prompts_are_left_alone(prompt):
    assert parse_travel(prompt, 16) is None


def test_one_text_alone_is_said_by_every_frame():
    assert parse_travel("0: a cat", 16) == Travel((0,), ("a cat",))
    assert parse_travel("a cat\n0:1girl\n8:", 16) == Travel((0, 8), ("a cat, 1girl", "a cat"))


def test_no_comma_is_put_beside_and_and_break():
    found = parse_travel("a cat\n0: red AND\n8: blue\n\nAND a dog :0.5\nBREAK best", 16)
    assert found.texts == ("a cat, red AND AND a dog :0.5 BREAK best", "a cat, blue AND a dog :0.5 BREAK best")


def test_between_two_frames():
    travel = Travel((4, 12), ("a", "b"))
    assert [travel.between(f) for f in (0, 4, 6, 12, 15)] == [
        (0, 0, 0.0),
        (0, 0, 0.0),
        (0, 1, 0.25),
        (1, 1, 0.0),
        (1, 1, 0.0),
    ]
    assert [travel.text_at(f) for f in (0, 11, 12)] == ["a", "a", "b"]
    assert Travel((3,), ("a",)).between(9) == (0, 0, 0.0)


def test_a_loop_comes_back_to_its_first_text():
    travel = parse_travel("0: a\n8: b", 16, loop=True)
    assert [travel.between(f) for f in (4, 8, 12, 14)] == [(0, 1, 0.5), (1, 1, 0.0), (1, 0, 0.5), (1, 0, 0.75)]
    late = parse_travel("4: a\n8: b", 16, loop=True)
    assert [late.between(f) for f in (14, 2, 4)] == [(1, 0, 0.5), (1, 0, 10 / 12), (0, 0, 0.0)]
    assert parse_travel("3: a\n0:b", 16, loop=True).period == 16 and Travel((3,), ("a",), 16).between(9)[2] == 0


@given(
    st.lists(st.integers(0, 63), min_size=1, max_size=6, unique=True).map(sorted),
    st.booleans(),
    st.integers(0, 63),
)
def test_every_frame_lies_between_the_keys_around_it(frames, loop, frame):
    travel = Travel(tuple(frames), tuple("abcdef"[: len(frames)]), 64 if loop else 0)
    before, after, share = travel.between(frame)
    assert 0 <= share < 1 and (share > 0) == (before != after)
    if frame in frames:
        assert (frames[before], share) == (frame, 0)
    elif share:
        start, end = frames[before], frames[after]
        length, gone = (end - start) % 64, (frame - start) % 64
        assert share == pytest.approx(gone / length)
        assert not any(0 < (other - start) % 64 < length for other in frames)  # the nearest ones
    else:
        assert not loop or len(frames) == 1
        assert frame < frames[0] and before == 0 or frame > frames[-1] and before == len(frames) - 1


words = st.text(st.sampled_from("abc (,):1 "), min_size=1, max_size=12).map(lambda text: f"x{text}")


@given(st.dictionaries(st.integers(0, 31), words, min_size=2), st.lists(words), st.lists(words))
def test_what_is_written_is_read(texts, head, tail):
    lines = [*head, *(f"{frame}: {text}" for frame, text in texts.items()), "", *tail]
    found = parse_travel("\n".join(lines), 32)
    assert found.frames == tuple(sorted(texts))
    for frame, text in zip(found.frames, found.texts):
        parts = [part.strip(" ,") for part in (*head, texts[frame], *tail)]
        assert text == ", ".join(parts)


@given(st.text(st.sampled_from('01:", \nabAND\\'), max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_travel(text, 16)
    except SettingsError as error:
        assert str(error).startswith("The prompt has ")
    else:
        assert found is None or len(found.frames) == len(found.texts) > 0


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        (
            "0: a\n16: b",
            "The prompt has a text for frame 16, but the clip has 16 frames; name frames from 0 to 15.",
        ),
        ("0: a\n3: a\n3: b", "The prompt has two texts for frame 3; leave one of them out."),
    ],
)
def test_what_cannot_be_is_said(prompt, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_travel(prompt, 16)
    assert str(caught.value) == sentence
    with pytest.raises(SettingsError, match="^The negative prompt has "):
        parse_travel(prompt, 16, what="negative prompt")


def test_networks_that_only_later_texts_name():
    travel = parse_travel("<lora:a:1>\n0: x <lora:b:0.5>\n8: y <lora:c:1> <lora:a:1>\n9: <lora:c:1>", 16)
    assert travel.unheard() == ["<lora:c:1>"]


def test_a_style_is_put_around_every_text():
    put = put_around("a girl\n0: a\n8: b", "photo of ", ", best quality")
    assert put == "photo of\na girl\n0: a\n8: b\n\nbest quality"
    assert parse_travel(put, 16).texts[0] == "photo of, a girl, a, best quality"
    assert put_around("0: a\n8: b\n\nc", "", "") == "0: a\n8: b\n\nc"
