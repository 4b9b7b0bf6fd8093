"""Who may call the extension's routes: API clients as --api-auth says, and the page itself.

The page cannot know the password of --api-auth, so whoever was given the page (which --gradio-auth guards) also gets a
key made at start, and its JavaScript sends it along.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from secrets import compare_digest, token_urlsafe
from typing import Any

from fastapi import HTTPException, Request

from lib_pia.errors import PIAError

PAGE_KEY = token_urlsafe(24)
PAGE_HEADER = "X-PIA-Page"


def guard(api_auth: str | None, *, page: bool = False) -> Callable[..., None]:
    """A FastAPI dependency that answers 401 to who may not call.

    `api_auth`: name:password pairs separated by commas, or nothing. Without it, routes are open as the host's own are,
    and those with
    `page` (they change something, or tell what others made) are the page's alone.
    """
    users = dict(pair.split(":", 1) for pair in api_auth.split(",")) if api_auth else {}

    def check(request: Request) -> None:
        if _same(request.headers.get(PAGE_HEADER), PAGE_KEY) or (not users and not page):
            return
        name, password = _credentials(request)
        if users and name in users and _same(password, users[name]):
            return
        raise HTTPException(
            status_code=401,
            detail="Incorrect username or password" if users else "Reload the page and try again.",
            headers={"WWW-Authenticate": "Basic"} if users else None,
        )

    return check


def answered(work: Callable[[], Any]) -> Any:
    """The result of `work`, or its PIAError as the HTTP answer (without --api the host turns no exception into one)."""
    try:
        return work()
    except PIAError as error:
        raise HTTPException(status_code=error.status_code, detail=error.detail) from error


def _same(given: Any, wanted: str) -> bool:
    return isinstance(given, str) and compare_digest(given.encode(), wanted.encode())


def _credentials(request: Request) -> tuple[str | None, str | None]:
    """Name and password of a Basic authorization."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None, None
    try:
        name, found, password = b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return (name, password) if found else (None, None)
