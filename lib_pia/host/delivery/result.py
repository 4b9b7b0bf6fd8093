"""What a generation hands back to the host: clips in place of pictures, and what is known of every file."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

from modules.processing import Processed
from PIL import Image

ATTRIBUTE = "pia_files"  # list shared by all copies of a processing object: an X/Y/Z plot runs one generation per cell


class ClipImage(Image.Image):
    """The first frame of a clip, for scripts that make grids of pictures; saved, it is the clip's file.

    The API turns pictures into base64 by `save`, so a clip arrives there whole.
    """

    data: bytes = b""

    @classmethod
    def of(cls, frame: Image.Image, data: bytes) -> ClipImage:
        image = cls()
        image.__setstate__(frame.__getstate__())  # Pillow's own way to fill a picture that is there
        image.data = data
        if hasattr(frame, "already_saved_as"):
            image.already_saved_as = frame.already_saved_as
        return image

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Writes the clip's file to `fp`, an open file or a path."""
        if hasattr(fp, "write"):
            fp.write(self.data)
        else:
            Path(fp).write_bytes(self.data)


@dataclasses.dataclass
class Delivered:
    """One produced file (or one failed format), as `info["pia"]` tells it."""

    clip: int
    format: str
    seed: int
    affinity: list[float]
    mime: str | None = None
    path: str | None = None  # on disk, None when not saved
    frames: int = 0
    fps: float = 0
    width: int = 0
    height: int = 0
    duration: float = 0  # seconds
    error: str | None = None
    image: Any = None  # what stands for it in `images`

    def to_dict(self, images: list) -> dict[str, Any]:
        """JSON values; `index` is where the file is in `images`, None where it is not there."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "image"}
        if self.error is None:
            del values["error"]
        index = next((i for i, image in enumerate(images) if self.image is not None and image is self.image), None)
        return {"index": index, **values}


class ClipProcessed(Processed):
    """The host's result with `info["pia"]`.

    Not constructed: the host returns the object that it handed to our hook, so that very object becomes one; and its
    class, not an attribute, because scripts return copies of it with pictures of their own.
    """

    @classmethod
    def upgrade(cls, processed: Processed, files: list[Delivered]) -> None:
        processed.__class__ = cls
        processed.pia_files = files

    def js(self) -> str:
        values = json.loads(super().js())
        values["pia"] = [file.to_dict(self.images) for file in self.pia_files]
        return json.dumps(values)


def share_files(p: Any) -> list[Delivered]:
    """The list of files delivered by `p` and by all copies made of it."""
    if ATTRIBUTE not in vars(p):
        setattr(p, ATTRIBUTE, [])
    return vars(p)[ATTRIBUTE]


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
