"""The infotext comes back out of every format as it went in, and where the WebUI looks for it."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_pia.video import ClipOptions, clip_infotext, encode_clip
from lib_pia.video.metadata import clean, comment_of_ffmetadata, exif_bytes, exif_comment, ffmetadata

CLIP = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
ALL = ["gif", "mp4", "webp", "webm", "apng", "png"]
LETTERS = (
    "".join(map(chr, range(1, 0x180))) + "漢字☃😀\u2028\ufeff\uffff\U0010ffff" + 20 * '\\\n=;#"'
)  # the hard ones often
HARD = (
    'a "girl" = smiling; #1 \\ end\\\n=;#\\\nNegative prompt: ☃ 😀 é 漢\tb\n'
    'Steps: 25, Size: 64x64, PIA motion: "loop, 1"\\'
)


def infotexts(folder, text: str) -> dict[str, str | None]:
    files = encode_clip(CLIP, folder / "clip", ALL, ClipOptions(infotext=text))
    assert files.errors == {}
    return {file.format: clip_infotext(file.path) for file in files}


@pytest.mark.parametrize(
    "text", [HARD, "x" * 200_000, "é\\=\n" * 20_000, " spaces around \n\n"], ids=["hard", "long", "escaped", "spaces"]
)
def test_every_format_gives_the_infotext_back(tmp_path, text):
    assert infotexts(tmp_path, text) == dict.fromkeys(ALL, text)


@given(st.text(LETTERS, min_size=1, max_size=60))
@example("\ufeffa")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(tmp_path, text):
    assert infotexts(tmp_path, text) == dict.fromkeys(ALL, clean(text) or None)


@given(st.text(LETTERS + "\0\ud800\udfff"))
@settings(deadline=None, max_examples=50)
def test_cleaning_only_takes_what_no_file_can_hold(text):
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned and "\r" not in cleaned and clean(cleaned) == cleaned
    if not set(text) & set("\0\r\ufeff") and not any("\ud800" <= c <= "\udfff" for c in text):
        assert cleaned == text


@given(st.text(LETTERS.replace("\r", "")))
@settings(deadline=None, max_examples=50)
def test_metadata_files_and_exif_blocks_are_undone_by_their_readers(text):
    assert comment_of_ffmetadata(ffmetadata(text)) == text
    text = text.lstrip("\ufeff")
    assert exif_comment(exif_bytes(text)[44:]) == text


def test_without_an_infotext_nothing_is_written(tmp_path):
    assert infotexts(tmp_path, "") == dict.fromkeys(ALL)


def test_the_webui_finds_it_where_it_looks(tmp_path):
    """`read_info_from_image` of the WebUI takes "parameters" (PNG), else the EXIF UserComment, else the comment
    (GIF)."""
    files = {file.format: file for file in encode_clip(CLIP, tmp_path / "c", ALL, ClipOptions(infotext=HARD))}
    for name in ("apng", "png"):
        with Image.open(files[name].path) as image:
            assert image.info["parameters"] == HARD
    with Image.open(files["gif"].path) as image:
        assert image.info["comment"].decode() == HARD and "exif" not in image.info
    with Image.open(files["webp"].path) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert comment[:8] == b"UNICODE\0" and comment[8:].decode("utf-16-be") == HARD
    kind = struct.unpack_from(">H", exif_bytes(HARD), 30)  # of the comment's entry: 2 bytes of tag after 28 of others
    assert kind == (7,)  # UNDEFINED, as EXIF 2.3 wants it; piexif, which the WebUI reads with, fails at anything else


def test_every_frame_of_png_carries_it(tmp_path):
    (file,) = encode_clip(CLIP, tmp_path / "c", ["png"], ClipOptions(infotext="seed 1"))
    assert [clip_infotext(path) for path in file.paths] == ["seed 1"] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"ASCII\0\0\0plain", "plain"),
        (b"UNICODE\0" + "漢".encode("utf-16"), "漢"),
        ("already text", "already text"),
        (b"\0\0bare", "bare"),
    ],
)
def test_comments_of_other_programs_are_read(value, text):
    assert exif_comment(value) == text


def test_comments_are_found_among_other_tags_only():
    assert comment_of_ffmetadata(b";FFMETADATA1\ntitle=comment=no\nCOMMENT=a\\=b\\\nc\n[STREAM]\n") == "a=b\nc"
    assert comment_of_ffmetadata(b";FFMETADATA1\n[STREAM]\ncomment=no\n") is None
