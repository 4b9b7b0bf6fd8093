"""Routes of the extension: PIA models, the affinity of settings or of a reference clip.

They obey --api-auth; the page needs no password (`access`)."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Body, Depends, FastAPI
from modules import hashes
from modules.shared import cmd_opts

from lib_pia.affinity import affinity_of_clip, resample_curve
from lib_pia.checkpoint import describe
from lib_pia.errors import MediaError, SettingsError
from lib_pia.host import models
from lib_pia.settings import PIASettings
from lib_pia.video import read_clip

from . import page_routes, ui
from .access import answered, guard

MAX_UPLOAD = 64 << 20  # bytes of a reference clip; a clip of one window is a few MB
REFERENCE_FRAMES = 256  # frames of a reference clip that are looked at


def add(demo: Any, app: FastAPI) -> None:
    """Adds the routes; the host calls it when the page is served."""
    guards = [Depends(guard(getattr(cmd_opts, "api_auth", None)))]
    for method, path, answer in (
        ("GET", "/pia/v1/models", get_models),
        ("POST", "/pia/v1/affinity", post_affinity),
        ("POST", "/pia/v1/affinity_of_clip", post_affinity_of_clip),
    ):
        app.add_api_route(path, answer, methods=[method], dependencies=guards)
    page_routes.add(app)


def _object(body: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise SettingsError(
            f"The request's body is {type(body).__name__}; it must be a JSON object with {', '.join(known)}."
        )
    return body


def get_models() -> list[dict[str, Any]]:
    """The files in the PIA model folder: name, path, what each is, and the SHA-256 of PIA models (null with
    --no-hashing)."""
    out = []
    for file in models.list_models():
        kind = describe(file.path)
        digest = hashes.sha256(file.path, f"pia/{file.name}") if kind.is_pia else None
        out.append(
            {
                "name": file.name,
                "path": file.path,
                "format": kind.name,
                "detail": kind.detail,
                "usable": kind.is_pia,
                "sha256": digest,
            }
        )
    return out


def post_affinity(body: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
    """The F numbers for a motion setting. Body: any of `ui.CHART_FIELDS` as in a request's settings."""

    def work() -> dict[str, Any]:
        values = _object(body, ui.CHART_FIELDS)
        settings = PIASettings.from_dict(values)
        return {"affinity": ui.preview_affinity(dict(values)), "motion": settings.motion}

    return answered(work)


def post_affinity_of_clip(body: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
    """The affinity of a reference clip. Body: {"clip": base64 or data URL, "num_frames": F, "condition_frame": index}.

    Answers {"affinity": F numbers, "frames": number of frames looked at}.
    """

    def work() -> dict[str, Any]:
        values = dict(_object(body, ("clip", "num_frames", "condition_frame")))
        data = _decoded(values.pop("clip", None))
        settings = PIASettings.from_dict(values)
        scores, count = reference_affinity(data, settings.num_frames, settings.condition_frame)
        return {"affinity": scores, "frames": count}

    return answered(work)


def _decoded(clip: Any) -> bytes:
    if not isinstance(clip, str) or not clip:
        raise SettingsError('The request has no clip; give the file as base64 text under "clip".')
    if len(clip) > MAX_UPLOAD * 4 // 3:
        raise MediaError(f"The clip has more than {MAX_UPLOAD >> 20} MB; use a shorter or smaller one.")
    try:
        return base64.b64decode(clip.split(",", 1)[1] if clip.startswith("data:") else clip, validate=True)
    except (binascii.Error, IndexError, ValueError):
        raise SettingsError("The clip is not valid base64 text; encode the file's bytes as base64.") from None


def reference_affinity(data: bytes, num_frames: int, condition_frame: int) -> tuple[list[float], int]:
    """Affinity of the clip file in `data`, resampled to `num_frames`, and how many of its frames were looked at. Raises
    MediaError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        path.write_bytes(data)
        frames = read_clip(path, max_frames=REFERENCE_FRAMES)
    if len(frames) < 2:
        raise MediaError("The clip has a single frame; a motion needs 2 or more.")
    place = (condition_frame % num_frames) / max(num_frames - 1, 1)
    scores = affinity_of_clip(frames, round(place * (len(frames) - 1)))
    return [round(value, 6) for value in resample_curve(scores.clamp(0, 1).tolist(), num_frames).tolist()], len(frames)
