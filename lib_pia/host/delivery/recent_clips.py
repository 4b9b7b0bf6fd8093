"""The clips made since the WebUI started, for the panel's player; files that were not saved live as long as their place
in this list."""

from __future__ import annotations

import atexit
import dataclasses
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from modules import shared, ui_tempdir
from PIL import Image

from lib_pia.errors import MediaError
from lib_pia.video import clip_info, read_clip

KEPT = 24  # clips that stay in the list
BEST_FIRST = ("png", "apng", "mp4", "webp", "webm", "gif")  # the least lossy file that a clip has gives its frames


@dataclasses.dataclass
class RecentClip:
    """One clip and what the player needs of it."""

    id: int
    tab: str  # "img2img" or "txt2img"
    infotext: str
    files: list[dict[str, Any]]  # info["pia"] entries with "path"
    picture: str | None = None  # path of the condition image
    folder: Path | None = None  # deleted with the entry, if the files were not saved

    def frames(self, most: int) -> list[Image.Image]:
        """The clip's frames, RGB, from the least lossy of its files, at most `most`. Raises MediaError."""
        for name in BEST_FIRST:
            paths = [file["path"] for file in self.files if file["format"] == name and file["path"]]
            if name == "png" and paths:
                return [_opened(path) for path in paths]
            if paths:
                return read_clip(paths[0], max_frames=min(clip_info(paths[0]).frames, most))
        raise MediaError("The clip has no file that can be read any more; make it again.")

    def to_dict(self) -> dict[str, Any]:
        values = {
            "id": self.id,
            "tab": self.tab,
            "infotext": self.infotext,
            "files": self.files,
            "picture": self.picture,
        }
        return values


class RecentClips:
    """The last `KEPT` clips, newest first."""

    def __init__(self) -> None:
        self._clips: list[RecentClip] = []
        self._ids = itertools.count(1)
        atexit.register(self.clear)

    def add(
        self, tab: str, infotext: str, files: list[dict[str, Any]], picture: Image.Image | None, folder: Path | None
    ) -> RecentClip:
        """Registers a clip whose files are on disk; the condition image is stored beside nothing else, as a temporary
        PNG."""
        folder = folder or (temporary_folder() if picture is not None else None)
        clip = RecentClip(next(self._ids), tab, infotext, files, _stored(picture, folder), folder)
        for path in (*(file["path"] for file in files), clip.picture):
            if path and shared.demo is not None:
                ui_tempdir.register_tmp_file(shared.demo, path)
        self._clips.insert(0, clip)
        for old in self._clips[KEPT:]:
            _remove(old)
        del self._clips[KEPT:]
        return clip

    def listed(self) -> list[dict[str, Any]]:
        return [clip.to_dict() for clip in self._clips]

    def find(self, clip_id: int) -> RecentClip | None:
        return next((clip for clip in self._clips if clip.id == clip_id), None)

    def remove(self, clip_id: int) -> None:
        """Takes a clip off the list, where it still is in it; files that were saved stay."""
        clip = self.find(clip_id)
        if clip is not None:
            self._clips.remove(clip)
            _remove(clip)

    def clear(self) -> None:
        for clip in self._clips:
            _remove(clip)
        self._clips.clear()


def temporary_folder() -> Path:
    """A new folder for a clip's files that are not saved; the page may show what is in it."""
    base = shared.opts.temp_dir or os.environ.get("GRADIO_TEMP_DIR") or os.path.join(tempfile.gettempdir(), "gradio")
    os.makedirs(base, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="pia-", dir=base))


def _opened(path: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error}); make the clip again.") from error


def _stored(picture: Image.Image | None, folder: Path | None) -> str | None:
    if picture is None or folder is None:
        return None
    path = folder / "picture.png"
    try:
        picture.save(path)
    except OSError:  # the player does without it
        return None
    return str(path)


def _remove(clip: RecentClip) -> None:
    if clip.folder is not None:
        shutil.rmtree(clip.folder, ignore_errors=True)


recent = RecentClips()  # of this run of the WebUI; a list for the panel, no generation reads it
