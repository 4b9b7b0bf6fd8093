"""Clips are written, decoded again and compared: frames, times, sizes, pixels, loops."""

import math
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_pia.errors import MediaError, SettingsError
from lib_pia.settings_fields import FORMATS
from lib_pia.video import ClipOptions, clip_info, encode_clip, read_clip
from lib_pia.video.encode import FORMAT
from lib_pia.video.frames import (
    FrameSequence,
    changed_box,
    even_sides,
    evenly,
    evenly_chosen,
    ping_pong,
    whole_delays,
)
from lib_pia.video.interpolate import interpolated

VIDEOS = [name for name in FORMATS if name != "png"]
PSNR_FLOOR = {"gif": 30, "mp4": 33, "webp": 30, "webm": 30, "apng": 200}  # dB


def moving(count: int = 8, height: int = 64, width: int = 64) -> np.ndarray:
    """A light square that moves right over a soft background, [count, height, width, 3] uint8."""
    y, x = np.mgrid[:height, :width]
    background = np.stack([90 + 50 * np.sin(x / 17), 110 + 40 * np.cos(y / 13), 60 + x + 0 * y], -1)
    clip = np.repeat(background[None], count, 0)
    for t, frame in enumerate(clip):
        frame[height // 4 : height // 2, 4 + 3 * t : 20 + 3 * t] = (235, 225, 200)
    return clip.astype(np.uint8)


def pixels(path: Path, count: int = 1000) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in read_clip(path, count, min_frames=1)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b) ** 2).mean()
    return 999 if error == 0 else float(10 * np.log10(255**2 / error))


def write(frames, folder: Path, *formats: str, **options):
    files = encode_clip(frames, folder / "clip", formats or FORMATS, ClipOptions(**options))
    assert files.errors == {}
    return files


def test_every_format_of_the_settings_has_a_writer():
    assert tuple(FORMAT) == FORMATS


def test_all_formats_hold_the_clip(tmp_path):
    clip = moving()
    files = write(clip, tmp_path)
    assert [file.format for file in files] == list(FORMATS)
    assert [file.mime for file in files] == [
        "image/gif",
        "video/mp4",
        "image/webp",
        "video/webm",
        "image/apng",
        "image/png",
    ]
    for file in files:
        assert (file.frames, file.fps, file.width, file.height, file.duration) == (8, 8.0, 64, 64, 1.0)
        if file.format != "png":
            info = clip_info(file.path)
            assert (info.format, info.frames, info.width, info.height) == (file.format, 8, 64, 64)
            assert info.fps == pytest.approx(8) and info.duration == pytest.approx(1)
            assert psnr(pixels(file.path), clip) > PSNR_FLOOR[file.format], file.format
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["clip.gif", "clip.mp4", "clip.png", "clip.webm", "clip.webp", *[f"clip-{i:05}.png" for i in range(8)]]
    )


def test_png_frames_are_exact(tmp_path):
    clip = moving(3)
    (file,) = write(clip, tmp_path, "png")
    assert [path.name for path in file.paths] == ["clip-00000.png", "clip-00001.png", "clip-00002.png"]
    assert all(np.array_equal(np.asarray(Image.open(path)), frame) for path, frame in zip(file.paths, clip))


def test_apng_is_exact_also_where_little_changes(tmp_path):
    clip = np.repeat(moving(1), 5, 0)
    clip[2, 10, 20] = clip[3, 63, 63] = clip[3, 0, 1] = 255
    (file,) = write(clip, tmp_path, "apng")
    assert np.array_equal(pixels(file.path), clip)


def test_pictures_and_arrays_give_the_same_files(tmp_path):
    clip = moving(4)
    a = write(clip, tmp_path / "a", *VIDEOS)
    b = write([Image.fromarray(frame) for frame in clip], tmp_path / "b", *VIDEOS)
    for x, y in zip(a, b):
        assert x.path.read_bytes() == y.path.read_bytes(), x.format


@pytest.mark.parametrize("size", [(65, 63), (64, 65), (1, 1)])
def test_odd_and_tiny_sizes_are_written(tmp_path, size):
    clip = moving(3, 96, 96)[:, : size[0], : size[1]]
    for file in write(clip, tmp_path):
        wanted = even_sides(clip).shape[1:3] if file.format == "mp4" else size
        assert (file.height, file.width) == wanted
        if file.format != "png":
            assert pixels(file.path).shape[1:3] == wanted


def test_an_odd_mp4_repeats_its_last_line(tmp_path):
    clip = moving(3, 65, 63)
    (file,) = write(clip, tmp_path, "mp4", mp4_crf=1)
    decoded = pixels(file.path)
    assert psnr(decoded[:, :65, :63], clip) > 33
    assert np.abs(decoded[:, 65].astype(int) - decoded[:, 64]).mean() < 6


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_that_are_all_the_same_all_count(tmp_path, name):
    (file,) = write(np.repeat(moving(1), 16, 0), tmp_path, name)
    info = clip_info(file.path)
    assert (info.frames, info.duration) == (16, pytest.approx(2.0)) and len(read_clip(file.path)) == 16


@pytest.mark.parametrize("fps", [1, 7, 24, 60])
def test_every_format_lasts_as_long_as_it_should(tmp_path, fps):
    for file in write(moving(5, 32, 32), tmp_path, *VIDEOS, fps=fps):
        tick = {"gif": 0.01, "webm": 0.002}.get(file.format, 0.001)  # WebM starts and ends on thousandths
        assert clip_info(file.path).duration == pytest.approx(5 / fps, abs=tick)
        assert file.duration == pytest.approx(5 / fps, abs=tick) and file.frames == clip_info(file.path).frames


def test_gif_delays_alternate_to_keep_the_time(tmp_path):
    (file,) = write(moving(16, 16, 16), tmp_path, "gif", fps=8)
    with Image.open(file.path) as image:
        delays = []
        for index in range(16):
            image.seek(index)
            delays.append(image.info["duration"])
    assert sorted(set(delays)) == [120, 130] and sum(delays) == 2000


def test_gifs_faster_than_browsers_play_leave_frames_out(tmp_path):
    (file,) = write(moving(60, 16, 16), tmp_path, "gif", fps=60)
    with Image.open(file.path) as image:
        assert image.n_frames == file.frames == 50 and image.info["duration"] >= 20
    assert file.fps == pytest.approx(50) and file.duration == pytest.approx(1)


@given(st.integers(1, 200), st.floats(0.5, 240), st.sampled_from([100, 1000]))
@settings(deadline=None, max_examples=50)
def test_whole_delays_never_drift(count, fps, ticks):
    delays = whole_delays(count, fps, ticks)
    starts = np.concatenate([[0], np.cumsum(delays)])
    assert np.abs(starts - np.arange(count + 1) * ticks / fps).max() <= 0.5 + 1e-6


@given(st.integers(1, 500), st.integers(1, 64))
@settings(deadline=None, max_examples=50)
def test_evenly_takes_both_ends_and_nothing_twice(total, wanted):
    taken = evenly(total, wanted)
    assert len(taken) == min(total, wanted) == len(set(taken)) and taken[0] == 0
    assert wanted == 1 or taken[-1] == total - 1
    assert taken == sorted(taken)
    around = evenly(total, wanted, closed=True)
    steps = np.diff([*around, total])
    assert len(around) == min(total, wanted) and around[0] == 0 and steps.max() - steps.min() <= 1


@given(st.integers(1, 600), st.integers(1, 300))
@settings(deadline=None, max_examples=50)
def test_ffmpeg_is_told_the_same_choice(total, wanted):
    expression = compile(evenly_chosen(total, wanted), "select", "eval")
    names = {"lt": lambda a, b: a < b, "eq": lambda a, b: a == b, "ceil": lambda a: math.ceil(a)}
    assert [n for n in range(total) if eval(expression, names, {"n": n})] == evenly(total, wanted)


def test_a_gif_has_the_colours_of_every_frame(tmp_path):
    """Also of the last one, which nothing comes after, and of clips in which nothing changes."""
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    for clip in (
        [Image.new("RGB", (16, 16), colour) for colour in colours],
        [Image.new("RGB", (16, 16), colours[0])] * 4,
    ):
        (file,) = write(clip, tmp_path, "gif")
        assert psnr(pixels(file.path), np.stack([np.asarray(frame) for frame in clip])) > 35


@pytest.mark.parametrize(("plays", "netscape", "chunk"), [(0, 0, 0), (1, None, 1), (2, 1, 2), (7, 6, 7)])
def test_loop_count_is_the_number_of_plays(tmp_path, plays, netscape, chunk):
    files = write(moving(2, 16, 16), tmp_path, "gif", "webp", "apng", loop_count=plays)
    gif, webp, apng = (file.path.read_bytes() for file in files)
    at = gif.find(b"NETSCAPE2.0")
    assert (struct.unpack_from("<H", gif, at + 13)[0] if at > 0 else None) == netscape
    assert struct.unpack_from("<H", webp, webp.index(b"ANIM") + 12)[0] == chunk
    assert struct.unpack_from(">I", apng, apng.index(b"acTL") + 8)[0] == chunk
    with Image.open(files[1].path) as image:
        assert image.info["loop"] == plays


@given(st.lists(st.integers(), max_size=9))
@settings(deadline=None, max_examples=50)
def test_ping_pong_plays_the_inner_frames_backwards(frames):
    there_and_back = ping_pong(frames)
    assert there_and_back[: len(frames)] == frames
    assert there_and_back[len(frames) :] == frames[1:-1][::-1]


@pytest.mark.parametrize("name", VIDEOS)
def test_ping_pong_clips_return(tmp_path, name):
    clip = moving(4)
    (file,) = write(clip, tmp_path, name, ping_pong=True)
    assert file.frames == 6 and file.duration == 0.75
    assert psnr(pixels(file.path), clip[[0, 1, 2, 3, 2, 1]]) > PSNR_FLOOR[name]


@pytest.mark.parametrize("factor", [2, 4])
def test_interpolation_puts_moving_frames_between_the_given_ones(tmp_path, factor):
    clip = moving(6)
    (file,) = write(clip, tmp_path, "apng", interpolate=factor)
    frames = pixels(file.path)
    assert file.frames == len(frames) == 5 * factor + 1 and file.fps == 8 * factor
    assert np.array_equal(frames[::factor], clip)
    square = [np.argwhere(frame.min(-1) > 180)[:, 1].mean() for frame in frames]  # where it is, px
    assert (np.diff(square) >= -0.3).all()
    halfway = np.array(square[factor // 2 :: factor])
    assert np.abs(halfway - (np.array(square[:-1:factor]) + 1.5)).max() < 1


def test_ping_pong_comes_after_interpolation(tmp_path):
    (file,) = write(moving(4), tmp_path, "apng", interpolate=2, ping_pong=True)
    frames = pixels(file.path)
    assert len(frames) == 12 and np.array_equal(frames[7:], frames[1:6][::-1])


@pytest.mark.parametrize("shape", [(2, 17, 5), (3, 33, 31), (1, 40, 40)])
def test_interpolation_takes_every_size_and_length(shape):
    clip = FrameSequence(moving(shape[0], 64, 64)[:, : shape[1], : shape[2]], Fraction(8))
    assert interpolated(clip, 2).frames.shape == ((shape[0] - 1) * 2 + 1, *shape[1:], 3)


def turning(count: int = 12, size: int = 64) -> np.ndarray:
    """A light disc that goes round once in `count` frames, [count, size, size, 3] uint8."""
    y, x = np.mgrid[:size, :size]
    clip = np.zeros((count, size, size, 3))
    for t, frame in enumerate(clip):
        angle = 2 * np.pi * t / count
        away = np.hypot(x - size / 2 - size / 4 * np.cos(angle), y - size / 2 - size / 4 * np.sin(angle))
        frame[:] = (40 + 190 / (1 + np.exp(away - size / 8)))[..., None]
    return clip.astype(np.uint8)


def places(frames: np.ndarray) -> np.ndarray:
    """Where the light is in each frame, [F, 2] px."""
    weight = np.maximum(frames[..., 0].astype(float) - 60, 0)
    grid = np.mgrid[: frames.shape[1], : frames.shape[2]]
    return np.stack([(weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in grid], 1)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_closed_clip_is_interpolated_over_its_seam(tmp_path, factor):
    clip = turning()
    (file,) = write(clip, tmp_path, "apng", interpolate=factor, closed=True)
    frames = pixels(file.path)
    assert file.frames == len(frames) == 12 * factor and np.array_equal(frames[::factor], clip)
    assert file.duration == pytest.approx(12 / 8)  # as long as without interpolation
    path = places(np.concatenate([frames, frames[:1]]))
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps[-factor:].max() < 1.5 * np.median(steps)  # nothing jumps from the last frame to the first
    around = np.linalg.norm(np.diff(places(np.concatenate([clip, clip[:1]])), axis=0), axis=1)
    assert steps.sum() == pytest.approx(around.sum(), rel=0.05)


def test_a_closed_clip_without_interpolation_is_the_same_file(tmp_path):
    plain = write(turning(), tmp_path / "a", *VIDEOS)
    closed = write(turning(), tmp_path / "b", *VIDEOS, closed=True)
    assert all(a.path.read_bytes() == b.path.read_bytes() for a, b in zip(plain, closed))


def test_ping_pong_closes_by_itself(tmp_path):
    """Its turns are frames of the clip, so that nothing is missing between the last frame and the first."""
    clip = moving(4)
    (file,) = write(clip, tmp_path / "a", "apng", interpolate=2, ping_pong=True)
    (closed,) = write(clip, tmp_path / "b", "apng", interpolate=2, ping_pong=True, closed=True)
    assert file.path.read_bytes() == closed.path.read_bytes()
    frames = pixels(file.path)
    assert np.array_equal(frames[[0, 2, 4, 6, 8, 10]], clip[[0, 1, 2, 3, 2, 1]])
    assert np.array_equal(frames[-1], frames[1])  # one step before the first frame, as one step after it


def test_a_fast_gif_of_a_closed_clip_leaves_frames_out_around_the_loop(tmp_path):
    (file,) = write(turning(), tmp_path, "gif", interpolate=4, fps=24, closed=True)
    assert file.frames == 25 and file.duration == pytest.approx(0.5)  # 48 frames at 96 fps
    path = places(pixels(file.path))
    seam, steps = np.linalg.norm(path[0] - path[-1]), np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert seam < 1.5 * steps.max() and seam > 0.5 * np.median(steps)


def test_equal_clips_are_equal_files(tmp_path):
    first = write(moving(5), tmp_path / "1", *VIDEOS, infotext="a, b")
    second = write(moving(5), tmp_path / "2", *VIDEOS, infotext="a, b")
    for a, b in zip(first, second):
        assert a.path.read_bytes() == b.path.read_bytes(), a.format


def test_the_mp4_can_be_played_while_it_loads(tmp_path):
    (file,) = write(moving(3), tmp_path, "mp4")
    data = file.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("mp4", dict(mp4_crf=10), dict(mp4_crf=40)),
        ("webm", dict(webm_crf=10), dict(webm_crf=55)),
        ("webp", dict(webp_quality=95), dict(webp_quality=10)),
        ("gif", dict(gif_colors=256), dict(gif_colors=8)),
    ],
)
def test_quality_settings_change_the_quality(tmp_path, name, better, worse):
    clip = moving(4)
    good, bad = (
        pixels(write(clip, tmp_path / str(i), name, **options)[0].path) for i, options in enumerate((better, worse))
    )
    assert psnr(good, clip) > psnr(bad, clip) + 2


def test_gif_dithers_differ(tmp_path):
    clip = moving(3)
    files = [
        write(clip, tmp_path / name, "gif", gif_dither=name, gif_colors=16)[0]
        for name in ("bayer", "sierra2_4a", "none")
    ]
    assert len({file.path.read_bytes() for file in files}) == 3


def test_static_parts_cost_nothing_in_webp_and_apng(tmp_path):
    clip = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8), 8, 0)
    for name in ("webp", "apng"):
        (still,) = write(clip[:1], tmp_path / "one", name)
        (moving_file,) = write(clip, tmp_path / "all", name)
        assert moving_file.path.stat().st_size < 1.3 * still.path.stat().st_size


@given(st.data())
@settings(deadline=None, max_examples=50)
def test_the_changed_box_holds_every_change(data):
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    before = np.zeros((height, width, 3), np.uint8)
    after = before.copy()
    for _ in range(data.draw(st.integers(0, 3))):
        after[
            data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, 2))
        ] = 1
    left, top, right, bottom = changed_box(before, after, 2)
    patched = before.copy()
    patched[top:bottom, left:right] = after[top:bottom, left:right]
    assert np.array_equal(patched, after)
    assert left % 2 == top % 2 == 0 and 0 <= left < right <= width and 0 <= top < bottom <= height


def test_formats_are_written_once_each_in_the_order_asked_for(tmp_path):
    announced = []
    files = encode_clip(moving(2, 16, 16), tmp_path / "c", ["apng", "gif", "apng"], on_format=announced.append)
    assert [file.format for file in files] == announced == ["apng", "gif"]


def test_a_stem_with_dots_keeps_them_and_folders_are_made(tmp_path):
    (file,) = encode_clip(moving(2, 16, 16), str(tmp_path / "new" / "00001-v1.5.final"), ["apng"])
    assert file.path == tmp_path / "new" / "00001-v1.5.final.png" and file.path.exists()


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(interpolate=3), "1, 2 or 4"),
        (dict(fps=0), "fps is 0"),
        (dict(gif_colors=1), "gif_colors"),
        (dict(gif_dither="dots"), "bayer"),
        (dict(mp4_crf=52), "from 0 to 51"),
        (dict(loop_count=-1), "loop_count"),
    ],
)
def test_options_out_of_range_are_refused(kwargs, words):
    with pytest.raises(SettingsError, match=words):
        ClipOptions(**kwargs)


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="'avi'"):
        encode_clip(moving(2), tmp_path / "c", ["gif", "avi"])
    with pytest.raises(MediaError, match="uint8"):
        encode_clip(moving(2).astype(float), tmp_path / "c", ["gif"])
    with pytest.raises(MediaError, match="no frames"):
        encode_clip([], tmp_path / "c", ["gif"])
    assert list(tmp_path.iterdir()) == []
