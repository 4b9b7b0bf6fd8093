"""Clip files -> frames, numbers and infotext: GIF, WebP, APNG and PNG by Pillow, MP4 and WebM by ffmpeg."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence, UnidentifiedImageError

from lib_pia.errors import MediaError

from .ffmpeg import FFmpegFailed, framecrc_packets, ppm_pictures, run_ffmpeg
from .frames import evenly, evenly_chosen
from .metadata import comment_of_ffmetadata, comment_of_picture

MAX_FILE_BYTES = 512 * 2**20  # no clip that is worth measuring is larger, and reading one must not fill the memory
MAX_FILE_FRAMES = 5000  # three minutes of video
MAX_PIXELS = 4096 * 2304  # a 4K picture
LIMIT_S = 120  # for ffmpeg on a file that somebody else made
SHORTEST_DELAY = 10  # ms; browsers play GIF frames of that or less as DEFAULT_DELAY
DEFAULT_DELAY = 100  # ms
_DEMUXER = {"mp4": "mov", "webm": "matroska"}


@dataclass(frozen=True)
class ClipInfo:
    """A clip's numbers as it plays: a frame that stays n times as long as the shortest counts n times. `duration` in
    seconds."""

    format: str
    frames: int
    fps: float
    width: int
    height: int
    duration: float


def clip_info(source: str | Path | bytes) -> ClipInfo:
    """The numbers of a GIF, MP4, WebP, WebM, APNG or PNG. Raises MediaError for anything else and for broken files."""
    with _opened(source) as clip:
        return clip.info()


def clip_infotext(source: str | Path | bytes) -> str | None:
    """The infotext inside a clip, or None where there is none. Raises MediaError for what is no clip."""
    with _opened(source) as clip:
        return clip.infotext() or None


def read_clip(
    source: str | Path | bytes,
    max_frames: int = 32,
    max_pixels: int = MAX_PIXELS,
    min_frames: int = 2,
    max_side: int | None = None,
) -> list[Image.Image]:
    """The frames of a clip as RGB pictures of one size; where it has more than `max_frames`, that many, evenly spread
    over its time.

    `max_side`: larger frames are shrunk to it. Raises MediaError where the file is no clip, is broken, has fewer than
    `min_frames` frames or too many (5000), is too large (512 MiB) or has more than `max_pixels` pixels per frame.
    """
    with _opened(source) as clip:
        info = clip.info()
        if info.frames < min_frames:
            raise MediaError(f"{clip.name} has {info.frames} frame; a clip needs at least {min_frames}.")
        _check_size(clip.name, info.width, info.height, max_pixels)
        frames = clip.frames(info.frames, max_frames, max_side)
        if len(frames) < min_frames:
            raise MediaError(
                f"{clip.name} is broken: only {len(frames)} of its frames can be decoded; export it again."
            )
        return frames


class _PillowClip:
    """GIF, WebP, APNG, PNG."""

    def __init__(self, data: bytes, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        with _broken(name):
            self.image = Image.open(io.BytesIO(data), formats=["GIF", "WEBP", "PNG"])
            self.count = getattr(self.image, "n_frames", 1)
        if self.count > MAX_FILE_FRAMES:
            raise _too_long(name, self.count)
        if kind == "png" and getattr(self.image, "is_animated", False):
            self.kind = "apng"

    def _delays(self) -> list[float]:
        """Milliseconds per stored frame, as browsers play them."""
        _check_size(self.name, *self.image.size, MAX_PIXELS)
        delays = []
        with _broken(self.name):
            for index in range(self.count):
                self.image.seek(index)
                self.image.load()
                delay = self.image.info.get("duration", 0) if self.count > 1 else 0
                delays.append(delay if delay > SHORTEST_DELAY or (delay and self.kind != "gif") else DEFAULT_DELAY)
        return delays

    @functools.cached_property
    def _played(self) -> tuple[list[int], float]:
        """The stored frame shown at each tick of the clip, and the clip's milliseconds."""
        delays = self._delays()
        tick = min(delays)
        played = [index for index, delay in enumerate(delays) for _ in range(min(round(delay / tick), MAX_FILE_FRAMES))]
        if len(played) > MAX_FILE_FRAMES:
            raise _too_long(self.name, len(played))
        return played, sum(delays)

    def info(self) -> ClipInfo:
        played, duration = self._played
        if self.count == 1:
            return ClipInfo(self.kind, 1, 0.0, *self.image.size, 0.0)
        return ClipInfo(self.kind, len(played), len(played) * 1000 / duration, *self.image.size, duration / 1000)

    def frames(self, total: int, wanted: int, side: int | None) -> list[Image.Image]:
        played, _ = self._played
        stored = [played[index] for index in evenly(total, wanted)]
        pictures = {}
        with _broken(self.name):
            for index, frame in enumerate(ImageSequence.Iterator(self.image)):
                if index in stored:
                    pictures[index] = frame.convert("RGB")
                    if side:
                        pictures[index].thumbnail((side, side), Image.Resampling.BOX)
        return [pictures[index].copy() for index in stored]

    def infotext(self) -> str | None:
        with _broken(self.name):
            if self.kind == "gif":
                comment = self.image.info.get("comment")
                return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
            if self.kind == "webp":
                return comment_of_picture(self.image)
            return self.image.info.get("parameters")


class _FFmpegClip:
    """MP4 and WebM. The demuxer is given, so that a file cannot pick one that opens others."""

    def __init__(self, path: str, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.input = ["-f", _DEMUXER[kind], "-i", f"file:{path}"]

    def _run(self, arguments: list[str]) -> bytes:
        try:
            return run_ffmpeg([*self.input, *arguments], limit_s=LIMIT_S)
        except FFmpegFailed as error:
            raise MediaError(f"{self.name} cannot be read as a clip: {error.reason}.") from error

    def info(self) -> ClipInfo:
        """From the packets, which is quick: nothing is decoded."""
        table = self._run(["-map", "0:v:0", "-c", "copy", "-copyts", "-f", "framecrc", "pipe:1"])
        try:
            width, height, tick, packets = framecrc_packets(table.decode("ascii", "replace"))
        except (ValueError, KeyError, IndexError) as error:
            raise MediaError(f"{self.name} cannot be read as a clip: it holds no video.") from error
        if len(packets) > MAX_FILE_FRAMES:
            raise _too_long(self.name, len(packets))
        starts = [start for start, _ in packets]
        duration = float((max(starts) + max(packets)[1] - min(starts)) * tick)
        return ClipInfo(self.kind, len(packets), len(packets) / duration if duration else 0.0, width, height, duration)

    def frames(self, total: int, wanted: int, side: int | None) -> list[Image.Image]:
        """At most `wanted` of `total` frames, numbered anew, so that ffmpeg neither repeats nor drops any.

        Fewer come back where the file has frames that are not shown (cut without encoding again).
        """
        shrink = (
            f",scale='min(iw,{side})':'min(ih,{side})':force_original_aspect_ratio=decrease:flags=area" if side else ""
        )
        chosen = f"select='{evenly_chosen(total, wanted)}',settb=1/25,setpts=N,fps=25{shrink}"
        data = self._run(["-map", "0:v:0", "-vf", chosen, "-f", "image2pipe", "-c:v", "ppm", "pipe:1"])
        return list(ppm_pictures(data))[: min(total, wanted)]  # old ffmpegs repeat the last one

    def infotext(self) -> str | None:
        return comment_of_ffmetadata(self._run(["-f", "ffmetadata", "pipe:1"]))


@contextlib.contextmanager
def _opened(source: str | Path | bytes) -> Iterator[_PillowClip | _FFmpegClip]:
    name = "The clip" if isinstance(source, bytes) else Path(source).name
    data, size = _start(source, name)
    if size > MAX_FILE_BYTES:
        raise MediaError(
            f"{name} has {size / 2**20:.0f} MiB; at most {MAX_FILE_BYTES // 2**20} MiB can be read, cut it."
        )
    kind = _kind(data)
    if kind is None:
        raise MediaError(f"{name} is not a clip: it is no GIF, MP4, WebP, WebM, APNG or PNG.")
    if kind in _DEMUXER:
        with _on_disk(source, kind) as path:
            yield _FFmpegClip(path, kind, name)
    else:
        clip = _PillowClip(source if isinstance(source, bytes) else Path(source).read_bytes(), kind, name)
        with clip.image:
            yield clip


def _start(source: str | Path | bytes, name: str) -> tuple[bytes, int]:
    """The first bytes and the size."""
    if isinstance(source, bytes):
        return source[:16], len(source)
    try:
        with open(source, "rb") as file:
            return file.read(16), os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        raise MediaError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error


def _kind(start: bytes) -> str | None:
    """The format by its first bytes; QuickTime counts as MP4, Matroska as WebM."""
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start[4:8] == b"ftyp":
        return "mp4"
    return "webm" if start.startswith(b"\x1a\x45\xdf\xa3") else None


@contextlib.contextmanager
def _on_disk(source: str | Path | bytes, suffix: str) -> Iterator[str]:
    """A path for ffmpeg, which must be able to seek."""
    if not isinstance(source, bytes):
        yield os.path.abspath(source)
        return
    with tempfile.TemporaryDirectory(prefix="pia-") as folder:
        path = Path(folder, f"clip.{suffix}")
        path.write_bytes(source)
        yield str(path)


@contextlib.contextmanager
def _broken(name: str) -> Iterator[None]:
    """Pillow's errors on files that it cannot read, as one sentence."""
    try:
        yield
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(f"{name} is broken: its header cannot be read; export it again.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} is too large: {error}.") from error
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        raise MediaError(f"{name} is broken: {error}; export it again.") from error


def _too_long(name: str, frames: int) -> MediaError:
    return MediaError(f"{name} has {frames} frames; at most {MAX_FILE_FRAMES} can be read, cut it.")


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise MediaError(
            f"{name} has frames of {width}x{height}; at most {max_pixels} pixels can be read, make it smaller."
        )
