"""Frames -> clip files."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lib_pia.errors import HostError, MediaError, PIAError, SettingsError
from lib_pia.files import replacing

from .encode import FORMAT, ClipFile, ClipOptions, described, write_png
from .frames import FrameSequence, as_frames, ping_pong
from .interpolate import interpolated


class ClipFiles(list[ClipFile]):
    """The files that were written, in the order of the formats asked for.

    `errors`: by format, why it is not among them; under "interpolate", why the clip was written without interpolation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, HostError] = {}


def encode_clip(
    frames: Any,
    stem: str | Path,
    formats: Sequence[str],
    options: ClipOptions | None = None,
    on_format: Callable[[str], None] | None = None,
) -> ClipFiles:
    """Writes one clip in each of `formats` (gif, mp4, webp, webm, apng, png) to `stem` + the format's suffix.

    `frames`: [F, H, W, 3] uint8, or a list of PIL images or of [H, W, 3] uint8 arrays, all of one size. `png` writes
    one file per frame, `stem`-00000.png and so on; an APNG is called `stem`.png. Interpolation comes first, then
    ping-pong, which turns at both ends and so needs nothing made between its last frame and its first. Existing files
    are replaced; a file appears under its name only when it is complete. `on_format` is called with each format's name
    before it is written.

    A format that cannot be written is a HostError in `.errors`; the others are written all the same.
    Raises SettingsError for an unknown format and MediaError for frames that are no clip.
    """
    options = options or ClipOptions()
    for name in formats:
        if name not in FORMAT:
            raise SettingsError(f"PIA setting formats holds {name!r}; it must be a list of {', '.join(FORMAT)}.")
    pictures = as_frames(frames)
    if pictures.dtype != np.uint8:
        raise MediaError(f"The clip's frames are {pictures.dtype}; they must be uint8, 0 to 255.")
    files = ClipFiles()
    clip = FrameSequence(pictures, Fraction(options.fps).limit_denominator(1001))  # what every format can hold
    try:
        clip = interpolated(clip, options.interpolate, options.closed and not options.ping_pong)
    except HostError as error:
        files.errors["interpolate"] = HostError(f"The clip was written without interpolation: {error.detail}")
    if options.ping_pong:
        clip = FrameSequence(clip.frames[ping_pong(range(len(clip.frames)))], clip.fps)
    for name in dict.fromkeys(formats):
        if on_format is not None:
            on_format(name)
        try:
            files.append(_written(clip, Path(stem), name, options))
        except Exception as error:
            files.errors[name] = _why(name, Path(stem), error)
    return files


def _written(clip: FrameSequence, stem: Path, name: str, options: ClipOptions) -> ClipFile:
    stem.parent.mkdir(parents=True, exist_ok=True)
    kind = FORMAT[name]
    if kind.write is None:
        return _written_frames(clip, stem, name, options)
    path = stem.parent / (stem.name + kind.suffix)
    with replacing(path) as temporary:
        written = kind.write(clip, temporary, options)
    return dataclasses.replace(written, paths=(path,))


def _written_frames(clip: FrameSequence, stem: Path, name: str, options: ClipOptions) -> ClipFile:
    """Every frame as a file of its own; all of them or none."""
    done: list[Path] = []
    try:
        for index, frame in enumerate(clip.frames):
            path = stem.parent / f"{stem.name}-{index:05}{FORMAT[name].suffix}"
            with replacing(path) as temporary:
                write_png(frame, temporary, options)
            done.append(path)
    except BaseException:
        for path in done:
            path.unlink(missing_ok=True)
        raise
    return described(name, clip, tuple(done))


def _why(name: str, stem: Path, error: Exception) -> HostError:
    """`error` as the sentence that the user gets."""
    start = f"The {name} clip could not be written"
    if isinstance(error, PIAError):
        return HostError(f"{start}: {error.detail}")
    if not isinstance(error, OSError):
        return HostError(f"{start}: {type(error).__name__}: {error}.")
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return HostError(f"{start}: the disk of {stem.parent} is full; free some space.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return HostError(
            f"{start}: the folder {stem.parent} is read-only; allow writing there or choose another output folder."
        )
    if error.errno == errno.ENAMETOOLONG:
        return HostError(
            f"{start}: its name has {len(stem.name)} characters, which is too long; shorten the file name pattern."
        )
    return HostError(f"{start} to {stem.parent}: {error.strerror or error}.")
