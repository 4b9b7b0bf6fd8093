"""The clip in a WebUI's answer."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from lib_pia.errors import MediaError
from lib_pia.video import clip_info, read_clip

from .method import Method
from .server import Refused

MAX_FRAMES = 5000


@dataclasses.dataclass(frozen=True)
class Answer:
    """`data`: the clip's file as it came, or None where it came as `stills` [F, H, W, 3] uint8. `info` is parsed."""

    data: bytes | None
    format: str
    stills: np.ndarray | None
    info: dict[str, Any]

    @property
    def infotext(self) -> str:
        texts = self.info.get("infotexts") or [""]
        return str(texts[0])


def answer_of(body: Any, method: Method) -> Answer:
    """What the method says is the clip. Raises Refused where the answer has none."""
    images = body.get("images") if isinstance(body, dict) else None
    if not isinstance(images, list) or not images:
        raise Refused("the answer has no images")
    files, stills = _sorted_out([_bytes(image) for image in images])
    if method.answer != "stills" and not files:
        raise Refused(f"the answer has {len(stills)} pictures but no clip, so nothing was animated")
    info = _info(body.get("info"))
    if method.answer == "clip":
        data, kind, count = files[0]
        if count != method.frames:
            raise Refused(f"the clip in the answer has {count} frames instead of {method.frames}")
        return Answer(data, kind, None, info)
    if len(stills) < method.frames:
        raise Refused(f"the answer has {len(stills)} single frames instead of {method.frames}")
    frames = stills[: method.frames]
    if len({frame.shape for frame in frames}) != 1:
        raise Refused("the frames in the answer have different sizes")
    return Answer(None, "apng", np.stack(frames), info)


def _bytes(image: Any) -> bytes:
    try:
        return base64.b64decode(
            str(image).partition(",")[2] if str(image).startswith("data:") else image, validate=True
        )
    except (binascii.Error, TypeError, ValueError):
        raise Refused("an image in the answer is not base64") from None


def _sorted_out(images: list[bytes]) -> tuple[list[tuple[bytes, str, int]], list[np.ndarray]]:
    """(clip files with format and number of frames, single pictures)."""
    files, stills = [], []
    for data in images:
        try:
            info = clip_info(data)
            if info.frames > 1:
                files.append((data, info.format, info.frames))
                continue
        except MediaError:
            pass  # a JPEG is no clip
        try:
            stills.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        except OSError:
            raise Refused("an image in the answer cannot be read") from None
    return files, stills


def _info(text: Any) -> dict[str, Any]:
    try:
        info = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        info = {}
    return info if isinstance(info, dict) else {}


def frames_of(path: Any) -> np.ndarray:
    """All frames of a clip file, [F, H, W, 3] uint8. Raises MediaError."""
    return np.stack([np.asarray(frame) for frame in read_clip(path, max_frames=MAX_FRAMES)])
