"""The clip that a new one goes on from: its frames as they were made, and the latents of the last of them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lib_pia.errors import MediaError, SettingsError
from lib_pia.host.delivery.recent_clips import recent
from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELD
from lib_pia.video import clip_info, clip_infotext, read_clip

from .given import file_bytes
from .pictures import latent_of

MOST_FRAMES = 2048  # own choice: at 512 px they take 1.6 GB


@dataclasses.dataclass(frozen=True)
class ContinuedClip:
    """The frames of the clip that is gone on from, RGB, as PIA made them: one per frame, in the order of time."""

    frames: tuple[Image.Image, ...]
    known: int  # how many of the last ones the new clip is given

    def latents(self, p: Any, size: tuple[int, int]) -> Tensor:
        """The known frames as scaled latents [known, 4, H, W] at `size` (width, height): the posterior's means."""
        return torch.cat([latent_of(p, frame, size) for frame in self.frames[-self.known :]])


def read_continued(settings: PIASettings) -> ContinuedClip | None:
    """The clip of `continue_from`, or None without one. Raises SettingsError, and MediaError for what is no clip."""
    if settings.continue_from is None:
        return None
    if settings.continue_from.startswith("clip:"):
        frames, infotext = _recent(int(settings.continue_from[5:]))
    else:
        data = file_bytes("continue_from", settings.continue_from)
        frames, infotext = _all_frames(data), clip_infotext(data) or ""
    frames = as_made(frames, infotext)
    if len(frames) < 2:
        raise SettingsError("The clip to go on from has a single frame; give it as the picture of img2img instead.")
    known = min(settings.overlap_frames, len(frames), settings.window_frames - 1)
    return ContinuedClip(tuple(frames), known)


def _all_frames(source: Any) -> list[Image.Image]:
    frames = clip_info(source).frames
    if frames > MOST_FRAMES:
        raise MediaError(f"The clip to go on from has {frames} frames; at most {MOST_FRAMES} can be read, cut it.")
    return read_clip(source, max_frames=MOST_FRAMES)


def _recent(number: int) -> tuple[list[Image.Image], str]:
    clip = recent.find(number)
    if clip is None:
        raise SettingsError(f"Clip {number} is not in the list of last clips any more; make it again.")
    return clip.frames(MOST_FRAMES), clip.infotext


def as_made(frames: list[Image.Image], infotext: str) -> list[Image.Image]:
    """Frames of a clip file without those that interpolation and ping-pong added, as its infotext tells them."""
    if re.search(rf"{FIELD['ping_pong'].infotext}: True", infotext):
        frames = frames[: len(frames) // 2 + 1]
    times = re.search(rf"{FIELD['interpolate'].infotext}: (\d)", infotext)
    return frames[:: int(times[1])] if times else frames
