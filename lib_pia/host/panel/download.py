"""Downloads pia.ckpt when a person presses the panel's button, and never by itself.

What arrives goes to a temporary name, from where a broken download goes on; it gets its real name only after it was
loaded as a PIA model.

huggingface_hub does not serve here: in the versions that fit the host (0.x) `hf_hub_download` takes no progress
callback and cannot be stopped, and the address in the settings may be any server's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.client
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modules import errors, shared

from lib_pia.checkpoint import convert, load_pia_model
from lib_pia.errors import CheckpointError, HostError, PIAError
from lib_pia.host import models

SOURCE = "https://huggingface.co/Leoxing/PIA/resolve/main/pia.ckpt"  # the authors' own release
OPTION = "pia_download_url"
NAME, HALF_NAME = "pia.ckpt", "pia.safetensors"
CHUNK = 1 << 20  # bytes read at a time
TIMEOUT = 60  # seconds without a byte until a connection counts as lost
RUNNING = ("downloading", "checking", "converting")


class Cancelled(Exception):
    """The person pressed Cancel."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a download comes from and goes to."""

    url: str
    folder: Path

    @property
    def part(self) -> Path:
        """What has arrived so far."""
        return self.folder / f"{NAME}.part"

    @property
    def tag_file(self) -> Path:
        """The ETag of the file that the part belongs to."""
        return self.folder / f"{NAME}.part.etag"

    @property
    def server(self) -> str:
        return urlsplit(self.url).hostname or "the address in the settings"

    def by_hand(self) -> str:
        return (
            f"download pia.ckpt with a browser from {models.DOWNLOAD}, put it into {self.folder} and press the "
            "refresh button"
        )

    def arrived(self) -> tuple[int, str]:
        """Bytes of the part that can be gone on with, and the ETag to ask with; 0 and "" to begin anew."""
        with contextlib.suppress(OSError):
            return self.part.stat().st_size, self.tag_file.read_text(encoding="ascii").strip()
        return 0, ""

    def remember(self, tag: str) -> None:
        if tag.startswith('"') and tag.isascii():  # a weak one does not name exact bytes
            self.tag_file.write_text(tag, encoding="ascii")
        else:
            self.tag_file.unlink(missing_ok=True)

    def forget(self) -> None:
        for file in (self.part, self.tag_file):
            file.unlink(missing_ok=True)


class Download:
    """The one download that may run; `to_dict` is what the panel shows."""

    def __init__(self) -> None:
        self.state = "idle"  # idle, downloading, checking, converting, done, failed
        self.done = self.total = 0  # bytes
        self.error: str | None = None
        self.name: str | None = None  # of the finished file
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def to_dict(self) -> dict[str, Any]:
        """{"state", "done" and "total" in bytes (total 0: unknown), "error": sentence or null, "name": of the finished
        file or null}."""
        return {"state": self.state, "done": self.done, "total": self.total, "error": self.error, "name": self.name}

    def start(self, half: bool) -> None:
        """Begins in a thread, or does nothing while one runs. Raises HostError where the folder cannot be written."""
        with self._starting:
            if self.state in RUNNING:
                return
            source = _source()
            target = source.folder / (HALF_NAME if half else NAME)
            if target.exists():
                raise HostError(
                    f"{target} is there already; press the refresh button, or delete the file and download again."
                )
            self._stop.clear()
            self.state, self.error, self.name, self.done, self.total = "downloading", None, None, 0, 0
            job = (source, target, half)
            self._thread = threading.Thread(target=self._run, args=job, name="PIA download", daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        self._stop.set()

    def wait(self) -> None:
        """Until the running download has ended."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, source: Source, target: Path, half: bool) -> None:
        try:
            fetch(source, half, self._progress)
            self._finish(source, target, half)
            self.name, self.state = target.name, "done"
        except Cancelled:
            self.state = "idle"
        except PIAError as error:
            self.state, self.error = "failed", error.detail
        except Exception as error:
            errors.report("PIA could not download its model", exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            self.state, self.error = "failed", f"pia.ckpt could not be downloaded ({reason}); {source.by_hand()}."

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self._stop.is_set():
            raise Cancelled

    def _finish(self, source: Source, target: Path, half: bool) -> None:
        """Loads what arrived; only a PIA model gets its real name."""
        try:
            if half:
                self.state = "converting"
                convert(source.part, target, half=True)
            else:
                self.state = "checking"
                load_pia_model(source.part)
                os.replace(source.part, target)
            source.forget()
        except CheckpointError as error:
            source.forget()
            raise CheckpointError(
                f"What {source.server} sent as pia.ckpt cannot be used and was deleted: {error.detail}"
            ) from error
        except OSError as error:
            raise HostError(
                f"{target} cannot be written ({error.strerror or error}); check the disk and the rights on "
                f"{source.folder}."
            ) from error


def _source() -> Source:
    url = getattr(shared.opts, OPTION, None) or SOURCE
    folder = models.model_folder()
    if urlsplit(url).scheme not in ("http", "https"):
        raise HostError(f"The address of pia.ckpt in the settings is {url}; it must begin with https:// or http://.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"The folder {folder} cannot be made ({error.strerror or error}); check the folder of PIA models in "
            "the settings."
        ) from error
    return Source(url, folder)


def fetch(source: Source, half: bool, progress: Callable[[int, int], None]) -> None:
    """Completes `source.part`, going on where an earlier download of the same file ended. `progress(bytes so far, bytes
    in all or 0)` may raise to stop. Raises HostError with the way to do it by hand."""
    try:
        _fetch(source, half, progress)
    except urllib.error.HTTPError as error:
        raise HostError(
            f"{source.server} answered {error.code} {error.reason} for pia.ckpt; {source.by_hand()}."
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason or type(error).__name__
        raise HostError(
            f"pia.ckpt could not be downloaded from {source.server} ({reason}); {source.by_hand()}."
        ) from error
    except OSError as error:
        full = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise HostError(
            f"{source.part} cannot be written ({full}); make room and check the rights on {source.folder}."
        ) from error


def _fetch(source: Source, half: bool, progress: Callable[[int, int], None]) -> None:
    with _answer(source) as answer:
        have = source.arrived()[0] if answer.status == 206 else 0
        rest = int(answer.headers.get("Content-Length") or 0)
        total = have + rest if rest else 0
        needed, free = rest + (total if half else 0), shutil.disk_usage(source.folder).free
        if needed > free:
            raise HostError(
                f"pia.ckpt needs {needed / 1e9:.1f} GB in {source.folder}, where {free / 1e9:.1f} GB are free; make "
                "room or choose another folder in the settings."
            )
        source.remember(answer.headers.get("ETag", ""))
        with source.part.open("ab" if have else "wb") as file:
            progress(have, total)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if have < total:
        raise HostError(
            f"The download of pia.ckpt broke off after {have / 1e6:.1f} of {total / 1e6:.1f} MB; press Download "
            f"again to go on, or {source.by_hand()}."
        )


def _answer(source: Source) -> http.client.HTTPResponse:
    """The answer to a request for what is missing: status 206, or 200 where the server sends everything anew."""
    request = urllib.request.Request(source.url, headers={"User-Agent": "sd-webui-pia", "Accept-Encoding": "identity"})
    have, tag = source.arrived()
    if have and tag:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing is missing, or the part is of another file
            raise
    else:
        if answer.status != 206 or str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            return answer
        answer.close()
    source.forget()
    return _answer(source)


current = Download()  # of this run of the WebUI
