"""The check of one setting's value, whatever JSON it is: a value as `PIASettings` holds it, or SettingsError."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .errors import SettingsError
from .settings_fields import MAX_BASE64, MAX_FRAMES, MAX_LORAS, MAX_PICTURES, MAX_POINTS, ClipPicture, Field, MotionLora

UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # no file is called so, and halves of pairs cannot be sent


def shown(value: Any) -> str:
    """`value` as a sentence shows it: short, and text that can be sent whatever it holds."""
    try:
        text = json.dumps(_cut(value), default=str, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):  # keys that are no text, thousands of digits, deep lists
        text = f"a value of type {type(value).__name__}"
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= 80 else text[:77] + "..."


def _cut(value: Any) -> Any:
    return value[:80] if isinstance(value, (str, list, tuple)) else value


def wanted(field: Field) -> str:
    """What `field` accepts, in words."""
    words = {
        "bool": "true or false",
        "int": f"a whole number from {field.low} to {field.high}",
        "number": f"a number from {field.low} to {field.high}".replace(".0", ""),
        "choice": "one of " + ", ".join(map(str, field.choices)),
        "choices": "a list of at least one of " + ", ".join(map(str, field.choices)),
        "curve": f"a list of 2 to {MAX_POINTS} numbers from 0 to 1",
        "pictures": f'a list of at most {MAX_PICTURES} objects {{"frame": number, "image": base64 text}}',
        "clip": "the base64 text of a clip",
        "frames": f"the base64 text of a clip, or a list of at most {MAX_FRAMES} pictures as base64 text",
        "loras": f'a list of at most {MAX_LORAS} objects {{"name": file name, "weight": number from {field.low} to '
        f"{field.high}}}",
        "name": "a name",
        "text": "a file name" if field.name == "model" else "a word of the prompt",
    }[field.kind]
    return f"{words}, or null" if field.optional else words


def refuse(field: Field, value: Any) -> SettingsError:
    return SettingsError(f"PIA setting {field.name} is {shown(value)}; it must be {wanted(field)}.")


def _is_number(value: Any) -> bool:
    """A JSON number, of any size."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _within(field: Field, value: Any) -> bool:
    return field.low <= value <= field.high


def _curve(field: Field, value: Any) -> tuple[float, ...] | None:
    if isinstance(value, str):
        try:
            value = [float(part) for part in value.replace(",", " ").replace(";", " ").split()]
        except ValueError:
            raise refuse(field, value) from None
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if not isinstance(value, (list, tuple)) or not all(_is_number(v) for v in value):
        raise refuse(field, value)
    if not 2 <= len(value) <= MAX_POINTS or not all(0 <= v <= 1 for v in value):
        raise refuse(field, value)
    return tuple(float(v) for v in value)


def _pictures(field: Field, value: Any) -> tuple[ClipPicture, ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)) or len(value) > MAX_PICTURES:
        raise refuse(field, value)
    return tuple(_picture(field, item) for item in value)


def _picture(field: Field, item: Any) -> ClipPicture:
    if isinstance(item, ClipPicture):
        return item
    if not isinstance(item, Mapping) or set(item) != {"frame", "image"}:
        raise refuse(field, item)
    frame, image = item["frame"], item["image"]
    if not _is_whole(frame) or not -MAX_FRAMES <= frame < MAX_FRAMES or not is_base64(image):
        raise refuse(field, {"frame": frame, "image": _cut(image)})
    return ClipPicture(int(frame), image)


LORA = re.compile(r"<([^<>:]+)(?::(-?[\d.]+(?:e[-+]?\d+)?))?>")  # as a text says it


def _loras(field: Field, value: Any) -> tuple[MotionLora, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        found = LORA.findall(value)
        if LORA.sub("", value).strip(" ,"):
            raise refuse(field, value)
        value = [{"name": name, "weight": _as_number(weight)} for name, weight in found]
    if not isinstance(value, (list, tuple)) or len(value) > MAX_LORAS:
        raise refuse(field, value)
    return tuple(_lora(field, item) for item in value)


def _as_number(text: str) -> Any:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return text


def _lora(field: Field, item: Any) -> MotionLora:
    if isinstance(item, MotionLora):
        item = {"name": item.name, "weight": item.weight}
    if not isinstance(item, Mapping) or not {"name"} <= set(item) <= {"name", "weight"}:
        raise refuse(field, item)
    name, weight = _text(field, item["name"]), item.get("weight", 1.0)
    if name is None or set(name) & set("<>:") or not _is_number(weight) or not _within(field, weight):
        raise refuse(field, item)
    return MotionLora(name, float(weight))


def is_base64(text: Any) -> bool:
    """Whether `text` can be base64 text or a data URL; what it decodes to is not looked at."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_BASE64:
        return False
    body = text.split(",", 1)[1] if text.startswith("data:") and "," in text else text
    return re.fullmatch(r"[A-Za-z0-9+/\s]+={0,2}\s*", body) is not None


def _text(field: Field, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 1024 or UNSPEAKABLE.search(value.strip()):
        raise refuse(field, value)
    return value.strip() or None


def _name(field: Field, value: Any) -> str:
    return _text(field, value) or field.default


def _clip(field: Field, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not is_base64(value) and not (isinstance(value, str) and re.fullmatch(r"clip:\d{1,9}", value)):
        raise refuse(field, value)
    return value


def _frames(field: Field, value: Any) -> str | tuple[str, ...] | None:
    if value is None or value in ("", [], ()):
        return None
    listed = isinstance(value, (list, tuple))
    if not all(map(is_base64, value if listed else [value])) or (listed and len(value) > MAX_FRAMES):
        raise refuse(field, value)
    return tuple(value) if listed else value


def _choice(field: Field, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value not in field.choices:
        raise refuse(field, value)
    return field.choices[field.choices.index(value)]


def _choices(field: Field, value: Any) -> tuple:
    listed = isinstance(value, (list, tuple)) and len(value) > 0
    if not listed or not all(isinstance(v, str) and v in field.choices for v in value):
        raise refuse(field, value)
    return tuple(dict.fromkeys(value))


def _int(field: Field, value: Any) -> int | None:
    if value is None and field.optional:
        return None
    if not _is_whole(value) or not _within(field, value):
        raise refuse(field, value)
    return int(value)


def _number(field: Field, value: Any) -> float:
    if not _is_number(value) or not _within(field, value):
        raise refuse(field, value)
    return float(value)


def _bool(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(field, value)
    return value


_CHECKS = {
    "bool": _bool,
    "int": _int,
    "number": _number,
    "choice": _choice,
    "choices": _choices,
    "curve": _curve,
    "pictures": _pictures,
    "clip": _clip,
    "frames": _frames,
    "loras": _loras,
    "name": _name,
    "text": _text,
}


def checked(field: Field, value: Any) -> Any:
    """`value` as `PIASettings` holds it, or SettingsError."""
    return _CHECKS[field.kind](field, value)
