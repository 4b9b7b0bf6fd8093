"""What stands between a person and the first clip, said in the panel before Generate is pressed: no PIA model, a wrong
file, a wrong checkpoint."""

from __future__ import annotations

import functools
import html
import os
from typing import Any

from modules import sd_models

from lib_pia.checkpoint import describe
from lib_pia.errors import CheckpointError
from lib_pia.host import models
from lib_pia.host.generation.checks import other_kind
from lib_pia.host.generation.request import AUTOMATIC

from .access import PAGE_KEY


def notice_html() -> str:
    """The notice below the PIA model's dropdown as the page starts; JavaScript keeps it up to date. It also hands the
    page its key."""
    sentence = model_sentence(None) or ""
    return f'<div data-pia-key="{PAGE_KEY}"><p>{html.escape(sentence)}</p></div>'


def status(model: str | None) -> dict[str, Any]:
    """What the panel says: {"model_missing": no PIA model at all, "model": sentence or null, "checkpoint": sentence or
    null, "folder"}.

    `model` is what the panel's dropdown shows.
    """
    files = models.list_models()
    return {
        "model_missing": not any(_is_pia(file.path) for file in files),
        "model": model_sentence(model),
        "checkpoint": checkpoint_sentence(),
        "folder": str(models.model_folder()),
        "page": models.DOWNLOAD,
    }


def model_sentence(model: str | None) -> str | None:
    """Why the chosen PIA model cannot be used, or None where it can. `model` None or "Automatic": the first one."""
    try:
        file = models.find_model(None if model in (None, "", AUTOMATIC) else model)
        return None if _is_pia(file.path) else _described(file.path, *_stamp(file.path))[1]
    except CheckpointError as error:
        return error.detail


def checkpoint_sentence() -> str | None:
    """Why the checkpoint that is loaded cannot be animated, or None where it can or where none is loaded yet."""
    model = sd_models.model_data.sd_model
    return None if getattr(model, "sd_checkpoint_info", None) is None else other_kind(model)


def _is_pia(path: str) -> bool:
    return _described(path, *_stamp(path))[0]


def _stamp(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=64)
def _described(path: str, modified: int, size: int) -> tuple[bool, str]:
    """(is a PIA model, sentence about what the file is instead); a file that is unchanged is read once."""
    kind = describe(path)
    if kind.is_pia:
        return True, ""
    return False, kind.detail
