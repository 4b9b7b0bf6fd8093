"""Routes of the panel's JavaScript: what is missing for a clip, the download of the PIA model, the last clips and their
frames, and what a picture's infotext says."""

from __future__ import annotations

import io
from typing import Any

from fastapi import Body, Depends, FastAPI, Response
from modules.shared import cmd_opts

from lib_pia.host.delivery.recent_clips import recent

from . import download, notices, player, prompt_hints
from .access import answered, guard


def add(app: FastAPI) -> None:
    """Adds the routes; they answer to the page, and to who knows the password of --api-auth."""
    guards = [Depends(guard(getattr(cmd_opts, "api_auth", None), page=True))]
    for method, path, answer in (
        ("GET", "status", get_status),
        ("GET", "clips", get_clips),
        ("GET", "frame/{clip}/{number}", get_frame),
        ("GET", "download", get_download),
        ("POST", "download", post_download),
        ("POST", "download/cancel", post_cancel),
        ("POST", "origin", post_origin),
    ):
        app.add_api_route(f"/pia/v1/{path}", answer, methods=[method], dependencies=guards)


def get_status(model: str | None = None) -> dict[str, Any]:
    """See `notices.status`."""
    return notices.status(model)


def get_clips() -> list[dict[str, Any]]:
    """The last clips made on the page, newest first: id, tab, infotext, files, picture."""
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
    """What a picture's infotext has and the prompt lacks: see `prompt_hints.compare`.

    Body: {"picture": data URL} or {"infotext": text}, and {"prompt": text}.
    """
    return answered(lambda: prompt_hints.compared(body))
