"""What a request's body may be: a JSON object, and files in it as base64 text or data URL."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from lib_pia.errors import MediaError, SettingsError

MAX_FILE = 64 << 20  # bytes of a file in a body; a clip of one window is a few MB


def json_object(body: Any, known: str) -> dict[str, Any]:
    """`body` as a dict; `known` says in words what it holds. Raises SettingsError."""
    if not isinstance(body, Mapping):
        raise SettingsError(f"The request's body is {type(body).__name__}; it must be a JSON object with {known}.")
    return dict(body)


def file_bytes(text: Any, what: str) -> bytes:
    """The bytes of a file given as base64 text or data URL; `what` ("clip", "picture") names it and its key.

    Raises SettingsError, and MediaError for more than `MAX_FILE`.
    """
    if not isinstance(text, str) or not text:
        raise SettingsError(f'The request has no {what}; give the file as base64 text under "{what}".')
    if len(text) > MAX_FILE * 4 // 3:
        raise MediaError(f"The {what} has more than {MAX_FILE >> 20} MB; use a shorter or smaller one.")
    try:
        return base64.b64decode(text.split(",", 1)[1] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, IndexError, ValueError):
        raise SettingsError(f"The {what} is not valid base64 text; encode the file's bytes as base64.") from None
