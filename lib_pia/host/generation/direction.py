"""What each window of a clip is told: its condition image, its affinity, and the frames that it is given."""

from __future__ import annotations

import torch
from torch import Tensor

from lib_pia.condition import build_condition
from lib_pia.settings import PIASettings
from lib_pia.windows import Window, window_affinity


class Direction:
    """The direction of one clip.

    picture: z^I [1, 4, H, W] of the clip's picture. known: latents [K, 4, H, W] of frames that are given, in front of
    the new ones.
    """

    def __init__(self, settings: PIASettings, picture: Tensor, known: Tensor | None = None) -> None:
        self.settings = settings
        self.picture = picture
        self.known = known

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
        return build_condition(self.image(window, made).to(torch.float32), affinity)

    def image(self, window: Window, made: Tensor) -> Tensor:
        """z^I of a window [1, 4, H, W]: the picture, or the known frame that is nearest to the new ones, pulled towards
        the picture by `anchor`."""
        picture = self.picture.to(made)
        if window.of_picture:
            return picture
        frame = made[window.start + window.condition_frame][None]
        return torch.lerp(frame, picture, self.settings.anchor) if self.settings.anchor else frame

    def start(self, window: Window, made: Tensor, pictures: Tensor, free: Tensor | None) -> Tensor:
        """Where the window's frames start and what masks keep of them, [length, 4, H, W]: the known frames; the
        picture's latents where the host's mask keeps them; elsewhere the window's condition image.

        pictures: the host's latents of the picture. free: the host's mask of what is made new, or None.
        """
        if window.of_picture:
            return pictures
        image = self.image(window, made).to(pictures)
        init = image.expand_as(pictures).clone() if free is None else torch.lerp(pictures, image, free.to(pictures))
        known = list(window.known)
        init[known] = made[window.frames][known].to(init)
        return init
