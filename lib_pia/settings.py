"""What a request may ask for: `PIASettings`, every value checked alone (`settings_values`) and together."""

from __future__ import annotations

import base64
import dataclasses
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import SettingsError
from .settings_fields import CHAIN_OVERLAP, FIELD, FIELDS, MAX_WINDOW, TRAINED_WINDOW, ClipPicture, Field, MotionLora
from .settings_values import checked, refuse, shown

DIGEST = 10  # characters of a file's SHA-256 in the infotext


@dataclasses.dataclass(frozen=True)
class PIASettings:
    """One request's settings, all checked. Fields, defaults and ranges: `FIELDS`. Frames are kept as given."""

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
    longer: str = "chain"
    window: int | None = None
    overlap: int | None = None
    anchor: float = 0.0
    pictures: tuple[ClipPicture, ...] = ()
    continue_from: str | None = None
    continue_whole: bool = True
    mask_means: str = "keep"
    control_video: str | tuple[str, ...] | None = None
    attention_of: str | None = None
    fast: int = 0
    upscale: float = 1.0
    upscaler: str = "Lanczos"
    hires_scale: float = 1.0
    hires_strength: float = 0.6
    motion_loras: tuple[MotionLora, ...] = ()

    def __post_init__(self) -> None:
        for field in FIELDS:
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
        if self.affinity is not None:
            object.__setattr__(self, "motion", "custom")
        elif self.motion == "custom":
            raise SettingsError(
                'PIA setting motion is "custom" but affinity is empty; give affinity a list of 2 or more numbers '
                "from 0 to 1, or choose another motion."
            )
        self._check_frame("condition_frame", self.condition_frame)
        self._check_windows()
        self._check_pictures()
        self._check_continued()
        self._check_read_frames()

    # ---- what must fit together

    def _check_frame(self, what: str, frame: int) -> None:
        if not -self.num_frames <= frame < self.num_frames:
            raise SettingsError(
                f"PIA setting {what} is {frame} in a clip of {self.num_frames} frames; "
                f"it must be from {-self.num_frames} to {self.num_frames - 1}."
            )

    def _check_windows(self) -> None:
        if self.overlap_frames > self.window_frames // 2:
            raise SettingsError(
                f"PIA setting overlap is {self.overlap} with windows of {self.window_frames} frames; "
                f"it must be at most {self.window_frames // 2}, half a window."
            )
        if self.motion == "loop" and self.is_long and self.longer == "chain":
            raise SettingsError(
                f"A loop of {self.num_frames} frames is longer than one window of {self.window_frames}, and a chain "
                'does not come back to the picture; set longer to "slide".'
            )

    def _check_pictures(self) -> None:
        taken = {self.condition_frame % self.num_frames}
        for picture in self.pictures:
            self._check_frame("pictures", picture.frame)
            frame = picture.frame % self.num_frames
            if frame in taken:
                raise SettingsError(
                    f"PIA setting pictures has frame {frame}, which has a picture already; give every picture a "
                    "frame of its own."
                )
            taken.add(frame)
        if self.pictures and self.motion == "loop":
            raise SettingsError(
                "A loop comes back to its picture and cannot arrive at another one; leave pictures out, or set "
                'motion to "animate".'
            )

    def _check_continued(self) -> None:
        if self.continue_from is None:
            return
        conflicts = {
            'longer "slide"': self.longer == "slide",
            'motion "loop"': self.motion == "loop",
            "a condition_frame": self.condition_frame != 0,
        }
        for conflict, there in conflicts.items():
            if there:
                raise SettingsError(
                    f"A clip that goes on from another one cannot have {conflict}; leave it or continue_from out."
                )

    def _check_read_frames(self) -> None:
        """What reads or is given something for every frame of a call needs frames that are sampled once, in order."""
        conflicts = {
            'longer "slide"': self.is_long and self.longer == "slide",
            "continue_from": self.continue_from is not None,
        }
        for name in ("control_video", "attention_of"):
            for conflict, there in conflicts.items():
                if there and getattr(self, name):
                    raise SettingsError(f"A clip with {name} cannot have {conflict}; leave one of them out.")

    # ---- windows

    @property
    def window_frames(self) -> int:
        """L, the frames of one window in a clip of several."""
        return self.window or TRAINED_WINDOW

    @property
    def overlap_frames(self) -> int:
        """K, the frames that two windows share."""
        return self.overlap or (self.window_frames // 2 if self.longer == "slide" else CHAIN_OVERLAP)

    @property
    def is_long(self) -> bool:
        """Whether `num_frames` need more than one window."""
        return self.num_frames > (self.window or MAX_WINDOW)

    # ---- there and back

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PIASettings:
        """Settings from an API dict. Unknown keys, wrong types and values out of range raise SettingsError."""
        for key in values:
            if key not in FIELD:
                near = difflib.get_close_matches(str(key)[:80], FIELD, 1)
                hint = f"; did you mean {near[0]}" if near else ""
                raise SettingsError(f"PIA setting {shown(key)} is unknown{hint}; the settings are {', '.join(FIELD)}.")
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
        return {field.name: _plain(getattr(self, field.name)) for field in FIELDS}

    def infotext(self) -> dict[str, str]:
        """`PIA ...` keys of the infotext: the enabling key, and every setting that is not its default. Pictures and
        clips are named by frame and the beginning of their SHA-256."""
        out = {FIELD["enabled"].infotext: "True"}
        for field in FIELDS[1:]:
            value = getattr(self, field.name)
            if field.name == "motion" and self.affinity is not None:
                continue
            if value != field.default:
                out[field.infotext] = as_text(field, value)
        return out

    @classmethod
    def from_infotext(cls, params: Mapping[str, str]) -> PIASettings | None:
        """The settings that `infotext` wrote, or None where the picture was not animated by PIA. What the infotext
        only names (pictures, the clip gone on from) takes its default."""
        if str(params.get(FIELD["enabled"].infotext)) != "True":
            return None
        named = {f.name: params[f.infotext] for f in FIELDS if f.restored and f.infotext in params}
        return cls(**{name: parse_infotext(FIELD[name], text) for name, text in named.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, (ClipPicture, MotionLora)):
        return dataclasses.asdict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def as_text(field: Field, value: Any) -> str:
    """A setting's value as the infotext says it."""
    if field.kind == "clip":
        return value if value.startswith("clip:") else digest(value)
    if field.kind == "frames":
        listed = isinstance(value, tuple)
        return f"{len(value)} pictures {digest(' '.join(map(digest, value)))}" if listed else digest(value)
    if field.kind == "pictures":
        return " ".join(f"{picture.frame} {digest(picture.image)}" for picture in value)
    if isinstance(value, MotionLora):
        return f"<{value.name}:{value.weight!r}>"
    if isinstance(value, tuple):
        return " ".join(as_text(field, item) for item in value)
    return repr(value) if isinstance(value, float) else str(value)


def digest(text: str) -> str:
    """The beginning of the SHA-256 of a file in base64 (or of the text itself, where it is none)."""
    body = text.split(",", 1)[1] if text.startswith("data:") and "," in text else text
    try:
        data = base64.b64decode(body)
    except ValueError:
        data = text.encode()
    return hashlib.sha256(data).hexdigest()[:DIGEST]


def parse_infotext(field: Field, text: str) -> Any:
    """One infotext value as a setting's value; raises SettingsError if it is none."""
    if not field.restored:
        return field.default
    text = str(text).strip()
    try:
        value = {
            "bool": lambda: text == "True",
            "int": lambda: None if field.optional and text in ("", "None") else int(text),
            "number": lambda: float(text),
            "choices": text.split,
            "choice": lambda: int(text) if isinstance(field.choices[0], int) else text,
        }.get(field.kind, lambda: text)()
    except ValueError:
        raise refuse(field, text) from None
    return checked(field, value)
