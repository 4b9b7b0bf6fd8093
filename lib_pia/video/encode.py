"""One function per format: frames to one file, with the numbers of what was written.

Settings of the encoders were measured on 16 photo-like frames of 512x512 (CPU time, size, PSNR); see each function.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from lib_pia.errors import SettingsError

from .containers import GIF_TICKS, apng, finish_gif, png_text, webp
from .ffmpeg import THREADS, raw_input, run_ffmpeg, streamed
from .frames import FrameSequence, even_sides, evenly, whole_delays
from .metadata import clean, ffmetadata

GIF_FASTEST = 50  # frames per second: browsers play delays under 2 hundredths of a second as 10
# BT.601's matrix with BT.709's primaries and transfer, limited range, all of it tagged. Measured in Chromium on flat
# saturated colours: within 2 levels of 255 with and without a GPU at every size. BT.709's matrix is up to 15 off
# without a GPU (its factor for blue does not fit that conversion); untagged files count as BT.601 below 720 rows.
MATRIX, PRIMARIES = "smpte170m", "bt709"
RGB_TO_YUV = (
    f"scale=out_color_matrix={MATRIX}:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p,"
    f"setparams=range=tv:colorspace={MATRIX}:color_primaries={PRIMARIES}:color_trc={PRIMARIES}"
)
DITHERS = {"bayer": "bayer:bayer_scale=3", "sierra2_4a": "sierra2_4a", "none": "none"}


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is played and written.

    `fps`: frames per second of the frames given; `interpolate` (1, 2, 4) multiplies it. `closed`: the clip
    is a loop, so that interpolation goes on from its last frame to its first. `loop_count`: how often GIF,
    WebP and APNG play, 0 = for ever. `infotext`: written into the file. Quality: `gif_colors` 4..256, `gif_dither`
    (bayer, sierra2_4a, none),
    `mp4_crf` and `webm_crf` (lower is better), `webp_quality` 0..100, `png_compression` 0..9. Raises SettingsError.
    """

    fps: float = 8
    loop_count: int = 0
    ping_pong: bool = False
    interpolate: int = 1
    closed: bool = False
    infotext: str = ""
    gif_colors: int = 256
    gif_dither: str = "bayer"
    mp4_crf: int = 18
    webm_crf: int = 30
    webp_quality: int = 80
    png_compression: int = 4

    def __post_init__(self) -> None:
        ranges = {
            "fps": (0.1, 240),
            "loop_count": (0, 65535),
            "gif_colors": (4, 256),
            "mp4_crf": (0, 51),
            "webm_crf": (0, 63),
            "webp_quality": (0, 100),
            "png_compression": (0, 9),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"Clip option {name} is {getattr(self, name)}; it must be from {low} to {high}.")
        if self.interpolate not in (1, 2, 4):
            raise SettingsError(f"Clip option interpolate is {self.interpolate}; it must be 1, 2 or 4.")
        if self.gif_dither not in DITHERS:
            raise SettingsError(
                f"Clip option gif_dither is {self.gif_dither!r}; it must be one of {', '.join(DITHERS)}."
            )
        object.__setattr__(self, "infotext", clean(self.infotext))


@dataclass(frozen=True)
class ClipFile:
    """One written clip: all frames of it in one file, or (png) one file per frame. `duration` in seconds, sizes in
    pixels."""

    format: str
    paths: tuple[Path, ...]
    mime: str
    frames: int
    fps: float
    width: int
    height: int
    duration: float

    @property
    def path(self) -> Path:
        """The file, or the first of them."""
        return self.paths[0]


def write_gif(clip: FrameSequence, path: Path, options: ClipOptions) -> ClipFile:
    """One palette from what changes, ordered dither: 1.2 CPU s, 1.5 MB, 32.8 dB (error diffusion: 1.9 s, 2.2 MB, 30.4
    dB).

    ffmpeg's palette takes the colours of the frame before each change, so the first frame is given once more after the
    last, for the palette only. Above 50 frames per second frames are left out evenly; the clip stays as long.
    """
    count = len(clip.frames)
    if clip.fps > GIF_FASTEST:
        kept = evenly(count, max(1, round(count * GIF_FASTEST / clip.fps)), clip.closed)
        clip = FrameSequence(clip.frames[kept], clip.fps * len(kept) / count)
    palette = (
        f"[0:v]split[a][b];[a]palettegen=max_colors={options.gif_colors}:stats_mode=diff[p];[b]trim=end_frame={len(clip.frames)}[c];"
        f"[c][p]paletteuse=dither={DITHERS[options.gif_dither]}:diff_mode=rectangle"
    )
    raw = raw_input(FrameSequence(clip.frames, Fraction(25)))
    container = ["-threads", str(THREADS), "-fflags", "+bitexact", "-loop", "-1", "-f", "gif", "pipe:1"]
    frames = streamed(itertools.chain(clip.frames, clip.frames[:1]))
    data = run_ffmpeg([*raw, "-filter_complex", palette, *container], frames)
    delays = whole_delays(len(clip.frames), float(clip.fps), GIF_TICKS)
    path.write_bytes(finish_gif(data, delays, options.loop_count, options.infotext))
    return described("gif", clip)


def write_mp4(clip: FrameSequence, path: Path, options: ClipOptions) -> ClipFile:
    """H.264, 8 bit 4:2:0 (what every player takes), index at the front. Odd sides are made even by repeating
    the last line."""
    even = FrameSequence(even_sides(clip.frames), clip.fps)
    codec = ["-c:v", "libx264", "-preset", "medium", "-crf", str(options.mp4_crf)]
    _write_video(even, path, options, [*codec, "-movflags", "+faststart", "-f", "mp4"])
    return described("mp4", even)


def write_webm(clip: FrameSequence, path: Path, options: ClipOptions) -> ClipFile:
    """VP9, 8 bit 4:2:0, constant quality; odd sides are kept."""
    codec = ["-c:v", "libvpx-vp9", "-crf", str(options.webm_crf), "-b:v", "0"]
    _write_video(clip, path, options, [*codec, "-deadline", "good", "-cpu-used", "4", "-row-mt", "1", "-f", "webm"])
    return described("webm", clip)


def _write_video(clip: FrameSequence, path: Path, options: ClipOptions, codec: list[str]) -> None:
    """Bit-exact flags: no random ids, no dates, so that equal clips are equal files.

    The colour tags stand in the filter chain (`setparams`), since ffmpeg takes the encoder's from the frames, and as
    options for the versions that do not.
    """
    color = ["-vf", RGB_TO_YUV, "-color_range", "tv", "-colorspace", MATRIX]
    color += ["-color_primaries", PRIMARIES, "-color_trc", PRIMARIES]
    exact = ["-threads", str(THREADS), "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    with _metadata_file(path, options.infotext) as metadata:
        run_ffmpeg(
            [*raw_input(clip), *metadata, "-map", "0:v", *color, *exact, *codec, f"file:{path}"],
            streamed(clip.frames),
        )


@contextlib.contextmanager
def _metadata_file(path: Path, infotext: str) -> Iterator[list[str]]:
    """ffmpeg arguments that bring the infotext in, by a file, since command lines are too short for some."""
    if not infotext:
        yield []
        return
    metadata = path.parent / f".pia-{secrets.token_hex(6)}.txt"
    try:
        metadata.write_bytes(ffmetadata(infotext))
        yield ["-f", "ffmetadata", "-i", f"file:{metadata}", "-map_metadata", "1"]
    finally:
        metadata.unlink(missing_ok=True)


def write_webp(clip: FrameSequence, path: Path, options: ClipOptions) -> ClipFile:
    """Lossy WebP, Pillow's method 4."""
    path.write_bytes(
        webp(clip.frames, clip.fps, options.loop_count, options.infotext, quality=options.webp_quality, method=4)
    )
    return described("webp", clip)


def write_apng(clip: FrameSequence, path: Path, options: ClipOptions) -> ClipFile:
    """Lossless, exact delays."""
    path.write_bytes(apng(clip.frames, clip.fps, options.loop_count, options.infotext, options.png_compression))
    return described("apng", clip)


def write_png(frame: np.ndarray, path: Path, options: ClipOptions) -> None:
    """One frame, lossless."""
    Image.fromarray(frame).save(path, "PNG", pnginfo=png_text(options.infotext), compress_level=options.png_compression)


@dataclass(frozen=True)
class Format:
    """How one format is called and written; `suffix` is added to the clip's name. `write` is None for numbered
    frames."""

    name: str
    suffix: str
    mime: str
    write: Callable[[FrameSequence, Path, ClipOptions], ClipFile] | None


FORMAT = {
    row.name: row
    for row in (
        Format("gif", ".gif", "image/gif", write_gif),
        Format("mp4", ".mp4", "video/mp4", write_mp4),
        Format("webp", ".webp", "image/webp", write_webp),
        Format("webm", ".webm", "video/webm", write_webm),
        Format("apng", ".png", "image/apng", write_apng),  # .png: every program that shows pictures opens it
        Format("png", ".png", "image/png", None),
    )
}


def described(name: str, clip: FrameSequence, paths: tuple[Path, ...] = ()) -> ClipFile:
    """The numbers of `clip` as a ClipFile, for its writer or its caller to fill in the paths."""
    count, height, width = clip.frames.shape[:3]
    duration = sum(whole_delays(count, float(clip.fps), GIF_TICKS)) / GIF_TICKS if name == "gif" else clip.duration
    return ClipFile(name, paths, FORMAT[name].mime, count, float(clip.fps), width, height, duration)
