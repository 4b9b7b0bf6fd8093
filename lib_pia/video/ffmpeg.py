"""Running ffmpeg: found through imageio-ffmpeg, fed and read through pipes, every failure a sentence.

imageio-ffmpeg's own reader and writer do not serve: they do not look at ffmpeg's exit code (of a damaged MP4 they give
one frame and no error), have no time limit, count the frames of a list of other files (no demuxer can be forced there),
and tell no infotext.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import IO

import numpy as np
from PIL import Image

from lib_pia.errors import HostError

from .frames import FrameSequence

THREADS = 2  # fixed, because x264's output depends on it: equal clips give equal files on every machine
_STDERR_LINES = 50


class FFmpegFailed(HostError):
    """ffmpeg ran and did not succeed; `reason` is its own sentence."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def ffmpeg_path() -> str:
    """The ffmpeg that imageio-ffmpeg brings, or else the system's. Raises HostError where there is none."""
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    found = shutil.which("ffmpeg")
    if found is None:
        raise HostError("ffmpeg was not found; install it with: pip install imageio-ffmpeg")
    return found


def raw_input(clip: FrameSequence) -> list[str]:
    """ffmpeg arguments for a clip's raw RGB frames on its standard input."""
    height, width = clip.frames.shape[1:3]
    kind = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"]
    return [*kind, "-framerate", str(clip.fps), "-i", "pipe:0"]


def streamed(frames: Iterable[np.ndarray]) -> Iterator[bytes]:
    """The frames' bytes one by one."""
    return (frame.tobytes() for frame in frames)


def run_ffmpeg(arguments: Iterable[str], frames: Iterable[bytes] = (), limit_s: float | None = None) -> bytes:
    """Runs ffmpeg without a shell, streams `frames` into its standard input and returns its standard output.

    A thread feeds the input and another drains stderr, so that no pipe can fill up and block. ffmpeg is killed when
    this call ends early for any reason, and after `limit_s` seconds. Raises FFmpegFailed, or HostError where ffmpeg
    cannot be started.
    """
    command = [ffmpeg_path(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise HostError(
            f"ffmpeg at {command[0]} could not be started ({error.strerror or error}); "
            "install it again with: pip install --force-reinstall imageio-ffmpeg"
        ) from error
    lines: deque[str] = deque(maxlen=_STDERR_LINES)
    broken: list[BaseException] = []
    threads = [
        threading.Thread(target=_feed, args=(process.stdin, frames, broken), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, lines), daemon=True),
    ]
    timer = threading.Timer(limit_s or 0, process.kill)
    try:
        for thread in [*threads, *([timer] if limit_s else [])]:
            thread.start()
        output = process.stdout.read()
        code = process.wait()
    finally:
        timed_out = bool(limit_s) and not timer.is_alive()
        timer.cancel()
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        process.stdout.close()
    if broken:
        raise broken[0]
    if code:
        raise _failure(code, [line for line in lines if line], timed_out)
    return output


def _feed(pipe: IO[bytes], frames: Iterable[bytes], broken: list[BaseException]) -> None:
    """Writes the frames; a closed pipe means that ffmpeg ended, and its exit code says why."""
    try:
        for frame in frames:
            pipe.write(frame)
    except (BrokenPipeError, ConnectionError):
        pass
    except OSError as error:
        if error.errno != 22:  # EINVAL is Windows' broken pipe
            broken.append(error)
    except Exception as error:
        broken.append(error)
    finally:
        with contextlib.suppress(OSError):
            pipe.close()


def _drain(pipe: IO[bytes], lines: deque[str]) -> None:
    for line in pipe:
        lines.append(re.sub(r"^(\[[^]]*\] *)+", "", line.decode("utf-8", "replace").strip())[:300])
    pipe.close()


def _failure(code: int, lines: list[str], timed_out: bool) -> FFmpegFailed:
    if timed_out:
        return FFmpegFailed("ffmpeg took too long and was ended.", "it took too long")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        said = f"; its last words: {lines[-1]}" if lines else ""
        return FFmpegFailed(
            f"ffmpeg was killed by {name} (is the machine out of memory?){said}", f"ffmpeg was killed by {name}"
        )
    if any("No space left on device" in line for line in lines):
        return FFmpegFailed("ffmpeg found the disk full; free some space.", "the disk is full")
    encoder = next((match[1] for line in lines if (match := re.search(r"Unknown encoder '([^']*)'", line))), None)
    if encoder:
        return FFmpegFailed(
            f"This ffmpeg has no encoder {encoder}; install one that has with: pip install --upgrade imageio-ffmpeg",
            f"no encoder {encoder}",
        )
    reason = (
        lines[0].rstrip(".") if lines else f"exit code {code}"
    )  # the first line names the cause, the others follow from it
    return FFmpegFailed(f"ffmpeg failed: {reason}.", reason)


def framecrc_packets(table: str) -> tuple[int, int, Fraction, list[tuple[int, int]]]:
    """Width, height, seconds per tick, and (start, duration) of every packet in ticks, from ffmpeg's framecrc
    output."""
    lines = table.splitlines()
    head = dict(line[1:].split(" 0: ", 1) for line in lines if line.startswith("#") and " 0: " in line)
    width, height = map(int, head["dimensions"].split("x"))
    packets = [tuple(map(int, line.split(",")[2:4])) for line in lines if line and not line.startswith("#")]
    if not packets or not width * height:
        raise ValueError("no pictures")
    return width, height, Fraction(head["tb"]), packets


def ppm_pictures(data: bytes) -> Iterator[Image.Image]:
    """The pictures in a row of binary PPM files."""
    at = 0
    while at < len(data):
        magic, size, depth = data[at : at + 64].split(b"\n", 3)[:3]
        width, height = map(int, size.split())
        at += len(magic) + len(size) + len(depth) + 3
        yield Image.frombytes("RGB", (width, height), data[at : at + width * height * 3])
        at += width * height * 3
