"""Files that a request brings as base64 text or data URL."""

from __future__ import annotations

import base64
import io

from PIL import Image, UnidentifiedImageError

from lib_pia.errors import SettingsError


def file_bytes(setting: str, text: str) -> bytes:
    """The file in a setting's text. Raises SettingsError."""
    try:
        return base64.b64decode(text.split(",", 1)[1] if text.startswith("data:") else text)
    except ValueError:
        raise SettingsError(
            f"PIA setting {setting} is not valid base64 text; encode the file's bytes as base64."
        ) from None


def picture(setting: str, text: str) -> Image.Image:
    """The picture in a setting's text. Raises SettingsError."""
    try:
        with Image.open(io.BytesIO(file_bytes(setting, text))) as opened:
            opened.load()
            return opened.copy()
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise SettingsError(
            f"PIA setting {setting} holds an image that cannot be read ({reason}); give PNG, JPEG or WebP as base64 "
            "text."
        ) from error
