"""What each window of a clip is told: its condition image, its affinity, and the frames that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lib_pia.condition import brush_affinity, build_condition, fade_pictures
from lib_pia.settings import PIASettings
from lib_pia.windows import Window, places_of_pictures, window_affinity

from .travel import Said


class Direction:
    """The direction of one clip.

    picture: z^I [1, 4, H, W] of the clip's picture. known: latents [K, 4, H, W] of frames that are given, in front of
    the new ones. pictures: latents [1, 4, H, W] of `settings.pictures`. brush: [1, 1, H, W], 1 where it moves.
    said: what the texts say to every frame. begun: latents [F, 4, H, W] that the frames start from instead of the
    picture's.
    """

    def __init__(
        self,
        settings: PIASettings,
        picture: Tensor,
        known: Tensor | None = None,
        pictures: Sequence[Tensor] = (),
        brush: Tensor | None = None,
        said: Said | None = None,
        begun: Tensor | None = None,
    ) -> None:
        self.settings = settings
        self.picture = picture
        self.known = known
        self.pictures = pictures
        self.brush = brush
        self.said = said or Said()
        self.begun = begun

    @property
    def given(self) -> int:
        """How many frames are given."""
        return 0 if self.known is None else len(self.known)

    def begin(self, made: Tensor) -> Tensor:
        """`made` [F, 4, H, W] with the frames that are given."""
        if self.known is not None:
            made[: self.given] = self.known.to(made)
        return made

    def condition(self, window: Window, made: Tensor) -> Tensor:
        """The window's condition [length, 5, H, W]; `made` are the clip's latents as far as they are made."""
        affinity = window_affinity(self.settings, window, self.given)
        if self.brush is not None:
            affinity = brush_affinity(affinity, self.brush.to(made.device, torch.float32))
        return build_condition(self._images(window, made).to(torch.float32), affinity)

    def _images(self, window: Window, made: Tensor) -> Tensor:
        """z^I of the window [1, 4, H, W], or one per frame where it makes further pictures."""
        own = self.image(window, made)
        latents = {window.condition_frame: own}
        for picture, latent in zip(self.settings.pictures, self.pictures):
            place = picture.frame % self.settings.num_frames + self.given - window.start
            if place in places_of_pictures(self.settings, window, self.given)[1:]:
                latents[place] = latent.to(own)
        places = sorted(latents)
        return own if len(places) == 1 else fade_pictures(places, [latents[p] for p in places], window.length)

    def texts(self, cond: Any, uncond: Any, rows: range) -> tuple[Any, Any]:
        """The host's conditioning, positive and negative, for some rows, from that for all rows of the clip."""
        return self.said.cond(cond, rows), self.said.uncond(uncond, rows)

    def image(self, window: Window, made: Tensor) -> Tensor:
        """z^I of a window [1, 4, H, W]: the picture, or the known frame that is nearest to the new ones, pulled towards
        the picture by `anchor`."""
        picture = self.picture.to(made)
        if window.of_picture:
            return picture
        frame = made[window.start + window.condition_frame][None]
        return torch.lerp(frame, picture, self.settings.anchor) if self.settings.anchor else frame

    def start(self, window: Window, made: Tensor, pictures: Tensor, free: Tensor | None) -> Tensor:
        """Where the window's frames start and what masks keep of them, [length, 4, H, W]: the known frames; `begun`, or
        the picture's latents where the host's mask keeps them, and elsewhere the window's condition image.

        pictures: the host's latents of the picture. free: the host's mask of what is made new, or None.
        """
        known = list(window.known)
        if self.begun is not None:
            init = self.begun[window.frames].to(pictures, copy=True)
            init[known] = made[window.frames][known].to(init)
            return init
        if window.of_picture:
            return pictures
        image = self.image(window, made).to(pictures)
        init = image.expand_as(pictures).clone() if free is None else torch.lerp(pictures, image, free.to(pictures))
        init[known] = made[window.frames][known].to(init)
        return init
