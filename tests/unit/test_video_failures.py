"""What cannot be written costs its own format only, and leaves nothing half done behind."""

import errno
import os
import signal
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lib_pia.errors import HostError
from lib_pia.video import ClipOptions, clip_files, encode_clip
from lib_pia.video import ffmpeg as video_ffmpeg
from lib_pia.video.ffmpeg import FFmpegFailed, ffmpeg_path, run_ffmpeg

CLIP = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
WITHOUT_FFMPEG = ["webp", "apng", "png"]


def fake_ffmpeg(monkeypatch, folder: Path, script: str) -> None:
    program = folder / "ffmpeg"
    program.write_text("#!/bin/sh\n" + script + "\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(video_ffmpeg, "ffmpeg_path", lambda: str(program))


def encode(folder: Path, formats=("gif", "mp4", "webm", *WITHOUT_FFMPEG), **options):
    return encode_clip(CLIP, folder / "out" / "clip", formats, ClipOptions(**options))


def left_behind(folder: Path) -> list[str]:
    """Names in the output folder that are no finished clip."""
    return [path.name for path in (folder / "out").iterdir() if path.name.startswith(".pia-")]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("cat >/dev/null; echo '[out#0] No space left on device' >&2; exit 1", "disk full"),
        (
            "echo \"[vost#0:0 @ 0x1] Unknown encoder 'libx264'\" >&2; echo 'Error opening output.' >&2; exit 1",
            "no encoder libx264",
        ),
        ("cat >/dev/null; echo 'encoding frame 3' >&2; kill -9 $$", "SIGKILL.*last words: encoding frame 3"),
        ("exit 3", "exit code 3"),
        (
            "echo '[libx264 @ 0x2] broken setting' >&2; echo 'Conversion failed!' >&2; exit 1",
            "failed: broken setting\\.",
        ),
    ],
)
def test_a_failing_ffmpeg_costs_its_own_formats_only(tmp_path, monkeypatch, script, words):
    fake_ffmpeg(monkeypatch, tmp_path, script)
    files = encode(tmp_path)
    assert [file.format for file in files] == WITHOUT_FFMPEG and all(file.path.exists() for file in files)
    assert list(files.errors) == ["gif", "mp4", "webm"]
    for name, error in files.errors.items():
        assert isinstance(error, HostError) and error.detail.startswith(f"The {name} clip could not be written")
        assert "\n" not in error.detail
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(files.errors["mp4"].detail)
    assert left_behind(tmp_path) == []


def test_an_ffmpeg_that_writes_nothing_useful_is_noticed(tmp_path, monkeypatch):
    """A GIF with another number of frames than were given is not passed on."""
    real = ffmpeg_path()
    fake_ffmpeg(
        monkeypatch,
        tmp_path,
        f'cat >/dev/null; "{real}" -loglevel error -f lavfi -i color=s=16x16:d=0.2:r=5 -f gif pipe:1',
    )
    assert "1 frames into the GIF instead of 3" in encode(tmp_path, ["gif"]).errors["gif"].detail


def test_a_missing_ffmpeg_is_said_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    files = encode(tmp_path, interpolate=2)
    assert [file.format for file in files] == WITHOUT_FFMPEG and files[0].frames == 3
    assert all("pip install imageio-ffmpeg" in error.detail for error in files.errors.values())
    assert "without interpolation" in files.errors["interpolate"].detail


def test_the_systems_ffmpeg_serves_where_imageio_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    assert ffmpeg_path() == "/usr/bin/ffmpeg"


def test_an_ffmpeg_that_cannot_be_started_is_said(tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").write_text("no program")
    monkeypatch.setattr(video_ffmpeg, "ffmpeg_path", lambda: str(tmp_path / "ffmpeg"))
    assert "could not be started" in encode(tmp_path, ["mp4"]).errors["mp4"].detail


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full; free some space"),
        (errno.EROFS, "is read-only"),
        (errno.EACCES, "is read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_file_system_refuses_is_a_sentence(tmp_path, monkeypatch, number, words):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("lib_pia.files.os.replace", refuse)
    files = encode(tmp_path)
    assert list(files) == [] and len(files.errors) == 6
    assert all(words in error.detail for error in files.errors.values())
    assert list((tmp_path / "out").iterdir()) == []


def test_a_really_full_disk_is_recognised():
    with pytest.raises(FFmpegFailed, match="disk full"):
        run_ffmpeg(["-f", "lavfi", "-i", "color=s=64x64:d=1:r=5", "-f", "mp4", "file:/dev/full"])


def test_half_a_set_of_png_frames_is_taken_back(tmp_path, monkeypatch):
    real, calls = clip_files.write_png, []

    def fail_at_the_third(frame, path, options):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "full")
        real(frame, path, options)

    monkeypatch.setattr(clip_files, "write_png", fail_at_the_third)
    assert "full" in encode(tmp_path, ["png"]).errors["png"].detail
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_format_keeps_the_file_of_before(tmp_path, monkeypatch):
    encode(tmp_path, ["mp4"])
    before = (tmp_path / "out" / "clip.mp4").read_bytes()
    fake_ffmpeg(monkeypatch, tmp_path, 'for last; do :; done; echo half > "${last#file:}"; exit 1')
    assert encode(tmp_path, ["mp4"]).errors
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == before and left_behind(tmp_path) == []


def test_interrupting_leaves_nothing_behind_and_ends_ffmpeg(tmp_path, monkeypatch):
    fake_ffmpeg(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            encode(tmp_path, ["mp4"], infotext="a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_name_that_is_too_long_is_a_sentence_that_tells_its_length(tmp_path):
    files = encode_clip(CLIP, tmp_path / ("p" * 300), ["gif", "mp4", "apng", "png"])
    assert list(files) == [] and list(tmp_path.iterdir()) == []
    assert all("300 characters, which is too long" in error.detail for error in files.errors.values())


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    files = encode_clip(CLIP, tmp_path / "file" / "clip", ["gif"])
    assert str(tmp_path / "file") in files.errors["gif"].detail


def test_long_and_foreign_names_are_written(tmp_path):
    name = "-ünïcode 漢字 😀 %03d ' \" : " + "p" * 180
    files = encode_clip(
        CLIP, tmp_path / "ordner é" / name, ["gif", "mp4", "webm", *WITHOUT_FFMPEG], ClipOptions(infotext="é")
    )
    assert files.errors == {} and all(file.path.name.startswith(name) and file.path.stat().st_size for file in files)


def test_a_decoder_error_is_a_sentence_too(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("too wide")

    monkeypatch.setattr("lib_pia.video.encode.webp", broken)
    files = encode(tmp_path, ["webp", "apng"])
    assert files.errors["webp"].detail == "The webp clip could not be written: ValueError: too wide."
    assert [file.format for file in files] == ["apng"]


def test_an_ffmpeg_that_talks_before_it_listens_does_not_block(tmp_path, monkeypatch):
    fake_ffmpeg(
        monkeypatch,
        tmp_path,
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
        "echo 'a warning that fills up the pipe of standard error after a while' >&2; done; cat; exit 0",
    )
    blocks = [bytes([i]) * 100_000 for i in range(10)]
    assert run_ffmpeg([], blocks, limit_s=60) == b"".join(blocks)


def test_an_ffmpeg_that_never_ends_is_ended(tmp_path, monkeypatch):
    fake_ffmpeg(monkeypatch, tmp_path, "exec sleep 60")
    start = time.monotonic()
    with pytest.raises(FFmpegFailed, match="too long"):
        run_ffmpeg([], limit_s=0.3)
    assert time.monotonic() - start < 30


def test_frames_that_fail_on_their_way_are_not_a_shorter_clip():
    def frames():
        yield bytes(16 * 16 * 3)
        raise MemoryError("no more")

    with pytest.raises(MemoryError):
        run_ffmpeg(
            ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", "16x16", "-i", "pipe:0", "-f", "null", "-"], frames()
        )
