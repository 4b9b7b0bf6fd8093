"""Clips that users drop on the panel: every kind is read, and what cannot be used is refused in one sentence."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_pia.errors import MediaError
from lib_pia.settings_fields import FORMATS
from lib_pia.video import ClipOptions, clip_info, clip_infotext, encode_clip, read_clip
from lib_pia.video import read as video_read
from lib_pia.video.__main__ import main
from lib_pia.video.ffmpeg import run_ffmpeg

VIDEOS = [name for name in FORMATS if name != "png"]
LEVELS = 40


def graded(count: int = LEVELS, size: int = 64) -> np.ndarray:
    """Frame i is all of one grey, 6 * i."""
    return np.stack([np.full((size, size, 3), 6 * i, np.uint8) for i in range(count)])


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    files = encode_clip(graded(), folder / "clip", VIDEOS, ClipOptions(fps=10, infotext="a cat\nSteps: 2"))
    return {file.format: file.path for file in files}


def greys(frames: list[Image.Image]) -> list[int]:
    return [round(float(np.asarray(frame).mean()) / 6) for frame in frames]


@pytest.mark.parametrize("name", VIDEOS)
def test_all_frames_are_read_in_their_order(clips, name):
    frames = read_clip(clips[name], LEVELS)
    assert greys(frames) == list(range(LEVELS))
    assert all(frame.mode == "RGB" and frame.size == (64, 64) for frame in frames)


@pytest.mark.parametrize("name", VIDEOS)
def test_longer_clips_are_thinned_out_evenly(clips, name):
    assert greys(read_clip(clips[name], 14)) == list(range(0, LEVELS, 3))


@pytest.mark.parametrize("name", VIDEOS)
def test_bytes_are_read_as_files_are(clips, name):
    data = clips[name].read_bytes()
    assert clip_info(data) == clip_info(clips[name]) and clip_infotext(data) == "a cat\nSteps: 2"
    assert greys(read_clip(data, 4)) == [0, 13, 26, 39]


@pytest.mark.parametrize("name", VIDEOS)
def test_large_frames_can_be_shrunk(clips, name):
    frames = read_clip(clips[name], 3, max_side=20)
    assert [frame.size for frame in frames] == [(20, 20)] * 3 and greys(frames) == [0, 20, 39]
    assert read_clip(clips[name], 2, max_side=100)[0].size == (64, 64)


def test_merged_frames_count_as_often_as_they_are_shown(tmp_path):
    frames = [Image.fromarray(frame) for frame in graded(3)]
    shown = [frames[0], frames[1], frames[1], frames[1], frames[2]]
    for suffix in ("gif", "webp"):
        path = tmp_path / f"merged.{suffix}"
        shown[0].save(path, save_all=True, append_images=shown[1:], duration=100)
        with Image.open(path) as image:
            assert image.n_frames == 3  # this is what Pillow does with equal neighbours
        assert greys(read_clip(path)) == [0, 1, 1, 1, 2]
        assert clip_info(path).frames == 5 and clip_info(path).fps == pytest.approx(10)


def test_gif_frames_without_a_delay_last_as_long_as_in_browsers(tmp_path):
    frames = [Image.fromarray(frame) for frame in graded(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert clip_info(tmp_path / "a.gif").duration == pytest.approx(0.3)


def test_a_matroska_with_odd_size_and_uneven_times_is_read(tmp_path):
    path = tmp_path / "cut.mkv"
    run_ffmpeg(
        [
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=63x35:d=2:r=10",
            "-vf",
            "select='not(eq(mod(n,3),1))'",
            "-c:v",
            "libvpx-vp9",
            "-f",
            "matroska",
            f"file:{path}",
        ]
    )
    assert all(frame.size == (63, 35) for frame in read_clip(path)) and clip_info(path).frames == len(read_clip(path))


def test_a_long_clip_gives_as_many_frames_as_asked_for(tmp_path):
    path = tmp_path / "long.mp4"
    run_ffmpeg(
        ["-f", "lavfi", "-i", "testsrc=s=32x32:d=60:r=25", "-c:v", "libx264", "-preset", "ultrafast", f"file:{path}"]
    )
    assert len(read_clip(path, 1000)) == 1000 and len(read_clip(path)) == 32


# ---- what is refused


@pytest.mark.parametrize("name", VIDEOS)
def test_broken_files_are_refused_and_so_are_empty_ones(clips, name, tmp_path):
    data = clips[name].read_bytes()
    for part in (data[:40], data[:24] + os.urandom(60)):
        path = tmp_path / clips[name].name
        path.write_bytes(part)
        for read in (read_clip, clip_info):
            with pytest.raises(MediaError) as error:
                read(path)
            assert (
                error.value.detail.startswith(path.name)
                and error.value.detail.endswith(".")
                and "\n" not in error.value.detail
            )


@pytest.mark.parametrize("name", ["gif", "webp", "apng"])
def test_a_clip_that_was_cut_off_is_refused(clips, name):
    with pytest.raises(MediaError, match="broken"):
        read_clip(clips[name].read_bytes()[:-200])


@pytest.mark.parametrize("data", [b"", b"<html>404 Not Found</html>", b"\0" * 100, b"RIFF\0\0\0\0WAVEfmt "])
def test_other_files_are_refused_by_what_they_are_not(tmp_path, data):
    (tmp_path / "x.gif").write_bytes(data)
    for read in (read_clip, clip_info, clip_infotext):
        with pytest.raises(MediaError, match="x.gif is not a clip: it is no GIF, MP4, WebP, WebM, APNG or PNG."):
            read(tmp_path / "x.gif")


def test_files_that_cannot_be_opened_are_named(tmp_path):
    for path in (tmp_path / "none.gif", tmp_path):
        with pytest.raises(MediaError, match=f"{path.name} cannot be opened"):
            read_clip(path)


def test_sound_without_pictures_is_no_clip(tmp_path):
    path = tmp_path / "song.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "sine=d=0.2", "-f", "mp4", f"file:{path}"])
    with pytest.raises(MediaError, match="song.mp4 cannot be read as a clip"):
        read_clip(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_single_frame_is_no_motion(tmp_path, name):
    (file,) = encode_clip(graded(2)[1:], tmp_path / "one", [name])
    with pytest.raises(MediaError, match="has 1 frame; a clip needs at least 2"):
        read_clip(file.path)
    assert greys(read_clip(file.path, min_frames=1)) == [1]


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_that_are_too_large_are_refused_with_their_size(clips, name):
    with pytest.raises(MediaError, match="64x64; at most 4000 pixels"):
        read_clip(clips[name], max_pixels=4000)


def test_a_huge_canvas_is_refused_before_it_is_decoded(tmp_path):
    tiny = io.BytesIO()
    Image.new("1", (9000, 9000)).save(tiny, "PNG")
    with pytest.raises(MediaError, match="9000x9000"):
        clip_info(tiny.getvalue())
    with pytest.raises(MediaError, match="too large"):
        header = bytearray(tiny.getvalue())
        header[16:24] = (60000).to_bytes(4, "big") * 2
        import zlib

        header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
        clip_info(bytes(header))


@pytest.mark.parametrize("name", VIDEOS)
def test_files_with_too_many_frames_or_bytes_are_refused(clips, name, monkeypatch):
    monkeypatch.setattr(video_read, "MAX_FILE_FRAMES", LEVELS - 1)
    with pytest.raises(MediaError, match="has 40 frames; at most 39 can be read"):
        read_clip(clips[name])
    monkeypatch.setattr(video_read, "MAX_FILE_BYTES", 100)
    with pytest.raises(MediaError, match="MiB can be read, cut it"):
        read_clip(clips[name])


def test_a_frame_that_stays_for_ever_does_not_fill_the_memory(tmp_path):
    frames = [Image.fromarray(frame) for frame in graded(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[20, 600_000, 20])
    with pytest.raises(MediaError, match="frames; at most"):
        read_clip(tmp_path / "a.gif")


def test_a_text_that_calls_itself_a_playlist_is_not_followed(tmp_path):
    """The demuxer is fixed by the first bytes: ffmpeg never gets to guess that a file is a list of other files."""
    path = tmp_path / "list.mp4"
    path.write_bytes(b"\0\0\0\x14ftypisom" + b"\nffconcat version 1.0\nfile '/etc/passwd'\n")
    with pytest.raises(MediaError, match="cannot be read as a clip"):
        read_clip(path)


# ---- the command line


@pytest.mark.parametrize("name", VIDEOS)
def test_info_prints_the_infotext_and_the_numbers(clips, name, capfdbinary):
    assert main(["info", str(clips[name])]) == 0
    sys.stdout.flush()
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith("a cat\nSteps: 2\n") and out.rstrip().endswith(f"{name}, 40 frames, 10 fps, 64x64, 4.000 s")


def test_info_says_that_there_is_no_infotext(tmp_path, capfdbinary):
    (file,) = encode_clip(graded(2), tmp_path / "c", ["gif"])
    assert main(["info", str(file.path)]) == 0
    assert b"(no infotext)" in capfdbinary.readouterr().out


def test_the_command_line_answers_in_sentences_and_exit_codes(tmp_path):
    (tmp_path / "x.txt").write_text("text")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "lib_pia.video", *arguments],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    refused = run("info", str(tmp_path / "x.txt"))
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.strip() == "x.txt is not a clip: it is no GIF, MP4, WebP, WebM, APNG or PNG."
    assert run("info").returncode == 2 and "usage:" in run().stderr


def test_reading_clips_needs_no_torch():
    code = "import sys, lib_pia.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
