"""Routes of the extension: for API clients as --api-auth says, and for the page's JavaScript (see `access`)."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from fastapi import Body, Depends, FastAPI, Response
from modules import hashes
from modules.shared import cmd_opts

from lib_pia.affinity import affinity_of_clip, resample_curve
from lib_pia.checkpoint import describe
from lib_pia.errors import MediaError
from lib_pia.host import models
from lib_pia.host.delivery.recent_clips import recent
from lib_pia.settings import PIASettings
from lib_pia.video import read_clip

from . import download, notices, player, prompt_hints, ui
from .access import answered, guard
from .bodies import file_bytes, json_object

REFERENCE_FRAMES = 256  # frames of a reference clip that are looked at


def add(demo: Any, app: FastAPI) -> None:
    """Adds the routes; the host calls it when the page is served. Those of the page answer to the page, and to who
    knows the password of --api-auth."""
    for routes, page in ((API_ROUTES, False), (PAGE_ROUTES, True)):
        guards = [Depends(guard(getattr(cmd_opts, "api_auth", None), page=page))]
        for method, path, answer in routes:
            app.add_api_route(f"/pia/v1/{path}", answer, methods=[method], dependencies=guards)


# ---- for API clients


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
        values = json_object(body, ", ".join(ui.CHART_FIELDS))
        settings = PIASettings.from_dict(values)
        return {"affinity": ui.preview_affinity(values), "motion": settings.motion}

    return answered(work)


def post_affinity_of_clip(body: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
    """The affinity of a reference clip. Body: {"clip": base64 or data URL, "num_frames": F, "condition_frame": index}.

    Answers {"affinity": F numbers, "frames": number of frames looked at}.
    """

    def work() -> dict[str, Any]:
        values = json_object(body, "clip, num_frames, condition_frame")
        data = file_bytes(values.pop("clip", None), "clip")
        settings = PIASettings.from_dict(values)
        scores, count = reference_affinity(data, settings.num_frames, settings.condition_frame)
        return {"affinity": scores, "frames": count}

    return answered(work)


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


# ---- for the page's JavaScript


def get_status(model: str | None = None) -> dict[str, Any]:
    """See `notices.status`."""
    return notices.status(model)


def get_clips() -> list[dict[str, Any]]:
    """The last clips made on the page, newest first: id, tab, infotext, files, picture."""
    return recent.listed()


def delete_clip(clip: int) -> list[dict[str, Any]]:
    """Takes a clip off the list; its saved files stay. Answers as `get_clips`."""
    recent.remove(clip)
    return recent.listed()


def get_frame(clip: int, number: int) -> Response:
    """One frame of a clip as PNG."""
    picture = answered(lambda: player.frame_of(clip, number))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return Response(buffer.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def get_download() -> dict[str, Any]:
    """See `download.Download.to_dict`."""
    return download.current.to_dict()


def post_download(body: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
    """Starts (or goes on with) the download of pia.ckpt. Body: {"half": true} stores it as half-precision
    safetensors."""
    half = isinstance(body, dict) and body.get("half") is True
    answered(lambda: download.current.start(half))
    return download.current.to_dict()


def post_cancel() -> dict[str, Any]:
    """Stops the download; what has arrived is kept, so that it can go on later."""
    download.current.cancel()
    return download.current.to_dict()


def post_origin(body: Any = Body(None)) -> dict[str, Any]:  # noqa: B008
    """What a picture's infotext has and the prompt lacks: see `prompt_hints.compared`.

    Body: {"picture": data URL} or {"infotext": text}, and {"prompt": text}.
    """
    return answered(lambda: prompt_hints.compared(body))


API_ROUTES = (
    ("GET", "models", get_models),
    ("POST", "affinity", post_affinity),
    ("POST", "affinity_of_clip", post_affinity_of_clip),
)
PAGE_ROUTES = (
    ("GET", "status", get_status),
    ("GET", "clips", get_clips),
    ("DELETE", "clips/{clip}", delete_clip),
    ("GET", "frame/{clip}/{number}", get_frame),
    ("GET", "download", get_download),
    ("POST", "download", post_download),
    ("POST", "download/cancel", post_cancel),
    ("POST", "origin", post_origin),
)
