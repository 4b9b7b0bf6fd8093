"""What a request may ask for: `PIASettings`, and the one table (`FIELDS`) that the panel, the API and the infotext map
to."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import SettingsError

MOTIONS = ("animate", "loop", "style_transfer", "custom")
MAGNITUDES = ("small", "moderate", "large")
FORMATS = ("gif", "mp4", "webp", "webm", "apng", "png")
START_FROM = ("noise", "image")
MIN_FRAMES, MAX_FRAMES = (
    2,
    32,
)  # 32 = length of the trained position encoding (PIA configs: temporal_position_encoding_max_len)
MAX_POINTS = 1024  # more affinity points than any curve needs; bounds what a request can make us parse


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting: how it is called, what it may be, and what it is called in the panel and in the infotext."""

    name: str
    label: str
    default: Any
    kind: str  # bool, int, number, choice, choices, text, curve
    help: str
    infotext: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple = ()


FIELDS: tuple[Field, ...] = (
    Field(
        "enabled", "Animate (PIA)", False, "bool", "Animate the picture instead of making still ones.", "PIA enabled"
    ),
    Field("model", "PIA model", None, "text", "File in models/PIA. Empty: the only or first one found.", "PIA model"),
    Field(
        "num_frames",
        "Frames",
        16,
        "int",
        "Length of the clip; the model was trained with 16.",
        "PIA frames",
        MIN_FRAMES,
        MAX_FRAMES,
        1,
    ),
    Field("fps", "FPS", 8, "int", "Frames per second of the finished clip.", "PIA fps", 1, 60, 1),
    Field(
        "motion",
        "Motion",
        "animate",
        "choice",
        "animate: move away from the picture; loop: come back to it; style_transfer: redraw it in this "
        "checkpoint's style; "
        "custom: the affinity numbers.",
        "PIA motion",
        choices=MOTIONS,
    ),
    Field(
        "magnitude",
        "Magnitude",
        "moderate",
        "choice",
        "How much moves. More motion is less like the picture.",
        "PIA magnitude",
        choices=MAGNITUDES,
    ),
    Field(
        "affinity",
        "Affinity",
        None,
        "curve",
        "Numbers from 0 (moves freely) to 1 (stays like the picture): 2 or more points, spread over the clip. "
        "Empty: from the motion.",
        "PIA affinity",
        0.0,
        1.0,
    ),
    Field(
        "condition_frame",
        "Condition frame",
        0,
        "int",
        "The frame that equals the picture; negative counts from the end.",
        "PIA condition frame",
        -MAX_FRAMES,
        MAX_FRAMES - 1,
        1,
    ),
    Field(
        "start_from",
        "Start from",
        "noise",
        "choice",
        "noise: the paper's sampling; image: img2img's own start with its denoising strength.",
        "PIA start from",
        choices=START_FROM,
    ),
    Field(
        "color_match",
        "Colour match",
        0.0,
        "number",
        "Pulls the whole clip's colours towards the picture's (0 off, 1 full).",
        "PIA color match",
        0.0,
        1.0,
        0.05,
    ),
    Field(
        "formats",
        "Formats",
        ("gif", "mp4"),
        "choices",
        "Files to write. png: every frame.",
        "PIA formats",
        choices=FORMATS,
    ),
    Field(
        "loop_count",
        "Repeats",
        0,
        "int",
        "How often GIF, WebP and APNG play; 0 is for ever.",
        "PIA loop count",
        0,
        1000,
        1,
    ),
    Field("ping_pong", "Ping-pong", False, "bool", "Play the inner frames backwards at the end.", "PIA ping-pong"),
    Field(
        "interpolate",
        "Interpolate",
        1,
        "choice",
        "Multiply the frame rate by motion-compensated interpolation.",
        "PIA interpolate",
        choices=(1, 2, 4),
    ),
)
FIELD = {field.name: field for field in FIELDS}


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def wanted(field: Field) -> str:
    """What `field` accepts, in words."""
    if field.kind == "bool":
        return "true or false"
    if field.kind == "int":
        return f"a whole number from {field.low} to {field.high}"
    if field.kind == "number":
        return f"a number from {field.low:g} to {field.high:g}"
    if field.kind == "choice":
        return "one of " + ", ".join(map(str, field.choices))
    if field.kind == "choices":
        return "a list of at least one of " + ", ".join(field.choices)
    if field.kind == "curve":
        return f"a list of 2 to {MAX_POINTS} numbers from 0 to 1"
    return "a file name"


def _refuse(field: Field, value: Any) -> SettingsError:
    return SettingsError(f"PIA setting {field.name} is {_shown(value)}; it must be {wanted(field)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _curve(field: Field, value: Any) -> tuple[float, ...] | None:
    if isinstance(value, str):
        try:
            value = [float(part) for part in value.replace(",", " ").replace(";", " ").split()]
        except ValueError:
            raise _refuse(field, value) from None
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if not isinstance(value, (list, tuple)) or not all(_is_number(v) for v in value):
        raise _refuse(field, value)
    if not 2 <= len(value) <= MAX_POINTS or not all(0 <= v <= 1 for v in value):
        raise _refuse(field, value)
    return tuple(float(v) for v in value)


def _checked(field: Field, value: Any) -> Any:
    """`value` as the dataclass holds it, or SettingsError."""
    if field.kind == "bool":
        ok = isinstance(value, bool)
    elif field.kind == "int":
        ok = _is_number(value) and float(value).is_integer() and field.low <= value <= field.high
        value = int(value) if ok else value
    elif field.kind == "number":
        ok = _is_number(value) and field.low <= value <= field.high
        value = float(value) if ok else value
    elif field.kind == "choice":
        ok = not isinstance(value, bool) and isinstance(value, (str, int, float)) and value in field.choices
        value = field.choices[field.choices.index(value)] if ok else value
    elif field.kind == "choices":
        ok = (
            isinstance(value, (list, tuple))
            and len(value) > 0
            and all(isinstance(v, str) and v in field.choices for v in value)
        )
        value = tuple(dict.fromkeys(value)) if ok else value
    elif field.kind == "curve":
        return _curve(field, value)
    else:
        ok = value is None or isinstance(value, str)
        value = (value.strip() or None) if isinstance(value, str) else value
    if not ok:
        raise _refuse(field, value)
    return value


@dataclasses.dataclass(frozen=True)
class PIASettings:
    """One request's settings, all checked. Fields, defaults and ranges: `FIELDS`. `condition_frame` is kept as
    given."""

    enabled: bool = True
    model: str | None = None
    num_frames: int = 16
    fps: int = 8
    motion: str = "animate"
    magnitude: str = "moderate"
    affinity: tuple[float, ...] | None = None
    condition_frame: int = 0
    start_from: str = "noise"
    color_match: float = 0.0
    formats: tuple[str, ...] = ("gif", "mp4")
    loop_count: int = 0
    ping_pong: bool = False
    interpolate: int = 1

    def __post_init__(self) -> None:
        for field in FIELDS:
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.affinity is not None:
            object.__setattr__(self, "motion", "custom")
        elif self.motion == "custom":
            raise SettingsError(
                'PIA setting motion is "custom" but affinity is empty; give affinity a list of 2 or more numbers '
                "from 0 to 1, or choose another motion."
            )
        if not -self.num_frames <= self.condition_frame < self.num_frames:
            raise SettingsError(
                f"PIA setting condition_frame is {self.condition_frame} in a clip of {self.num_frames} frames; "
                f"it must be from {-self.num_frames} to {self.num_frames - 1}."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PIASettings:
        """Settings from an API dict. Unknown keys, wrong types and values out of range raise SettingsError."""
        for key in values:
            if key not in FIELD:
                near = difflib.get_close_matches(str(key), FIELD, 1)
                hint = f"; did you mean {near[0]}" if near else ""
                raise SettingsError(f"PIA setting {_shown(key)} is unknown{hint}; the settings are {', '.join(FIELD)}.")
        return cls(**values)

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> PIASettings:
        """Settings from a positional list in the order of `FIELDS` (the panel's components, or such a list through the
        API). Missing values at the end take their defaults."""
        if len(values) > len(FIELDS):
            raise SettingsError(
                f"PIA was given {len(values)} script args; it takes at most {len(FIELDS)}, "
                f"in the order {', '.join(FIELD)}."
            )
        return cls(**{field.name: value for field, value in zip(FIELDS, values)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: `from_dict(to_dict())` gives the same settings."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in FIELDS}

    def infotext(self) -> dict[str, str]:
        """`PIA ...` keys of the infotext: the enabling key, and every setting that is not its default."""
        out = {FIELD["enabled"].infotext: "True"}
        for field in FIELDS[1:]:
            value = getattr(self, field.name)
            if field.name == "motion" and self.affinity is not None:
                continue
            if value != field.default:
                out[field.infotext] = (
                    " ".join(repr(v) if isinstance(v, float) else str(v) for v in value)
                    if isinstance(value, tuple)
                    else repr(value)
                    if isinstance(value, float)
                    else str(value)
                )
        return out

    @classmethod
    def from_infotext(cls, params: Mapping[str, str]) -> PIASettings | None:
        """The settings that `infotext` wrote, or None where the picture was not animated by PIA."""
        if str(params.get(FIELD["enabled"].infotext)) != "True":
            return None
        return cls(**{f.name: parse_infotext(f, params[f.infotext]) for f in FIELDS if f.infotext in params})


def parse_infotext(field: Field, text: str) -> Any:
    """One infotext value as a setting's value; raises SettingsError if it is none."""
    text = str(text).strip()
    try:
        value = {
            "bool": lambda: text == "True",
            "int": lambda: int(text),
            "number": lambda: float(text),
            "choices": text.split,
            "choice": lambda: int(text) if isinstance(field.choices[0], int) else text,
        }.get(field.kind, lambda: text)()
    except ValueError:
        raise _refuse(field, text) from None
    return _checked(field, value)
