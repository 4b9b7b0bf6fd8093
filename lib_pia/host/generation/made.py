"""What a generation made, for delivery: which clips of how many frames, and the pictures that they come from."""

from __future__ import annotations

from typing import Any

from modules.shared import opts
from PIL import Image
from torch import Tensor

from lib_pia.affinity import frame_index
from lib_pia.windows import clip_affinity

from .attention import WordAttention
from .control import ControlClip
from .pictures import ConditionPicture, as_shown
from .request import Request


class MadeClips:
    """The clips of one generation, filled as they come.

    `conditions`: img2img's encoded pictures, one for all clips or one per clip. `stills`: txt2img's still pictures, one
    per clip, None where nobody needs it. `frame_counts`: pictures that the host finished, per clip. `sampled`: clips
    whose latents are complete. `control`: the clip that ControlNet follows, if there is one. `given`: latents
    [K, 4, H, W] of the frames that the clips go on from. `attention`: of the word that `attention_of` names, by clip.
    """

    def __init__(self, p: Any, request: Request) -> None:
        self.p = p
        self.request = request
        self.conditions: list[ConditionPicture] = []
        self.stills: list[Image.Image | None] = []
        self.given: Tensor | None = None
        self.frame_counts: list[int] = []
        self.sampled = 0
        self.control: ControlClip | None = None
        self.attention: dict[int, WordAttention] = {}

    def condition(self, clip: int) -> ConditionPicture:
        """img2img's picture of a clip, encoded."""
        return self.conditions[clip % len(self.conditions)]

    def count_frame(self, clip: int) -> None:
        """One picture of `clip` is finished."""
        self.frame_counts += [0] * (clip + 1 - len(self.frame_counts))
        self.frame_counts[clip] += 1

    def picture(self, clip: int, size: tuple[int, int]) -> Image.Image | None:
        """The condition image of a clip at `size` (width, height), where it is known; of a clip that goes on from
        another, the last frame of that one."""
        if self.request.is_img2img and not self.request.continued:
            return as_shown(self.p, self.condition(clip).image, size)
        picture = self.source(clip)
        if self.request.continued:
            return as_shown(self.p, picture, size)
        return picture if picture is None or picture.size == size else picture.resize(size, Image.LANCZOS)

    def source(self, clip: int) -> Image.Image | None:
        """What a clip begins with besides img2img's pictures: the last frame of the clip that it goes on from, or
        txt2img's still, where it is known."""
        if self.request.continued:
            return self.request.continued.frames[-1]
        return self.stills[clip] if clip < len(self.stills) else None

    def overlay(self, clip: int) -> Image.Image | None:
        """What inpainting lays over every frame of a clip (the input, transparent where it is masked), if anything."""
        overlays = self.condition(clip).host["overlay_images"] if self.request.is_img2img else None
        return overlays[0] if overlays and opts.overlay_inpaint else None

    @property
    def condition_frame(self) -> int:
        """The index, among the frames that are made, of the one that equals the picture; of a clip that goes on from
        another and makes none of its frames again, the one after it."""
        if self.request.continued:
            return max(self.request.remade - 1, 0)
        return frame_index(self.request.settings.condition_frame, self.request.settings.num_frames)

    def affinity(self) -> Tensor:
        """The affinity of every frame, [F]."""
        return clip_affinity(self.request.settings, self.request.known)
