"""The host's live preview while a clip is sampled: all its frames, at the host's preview settings, for a small share of
the time.

With "Show previews of all images generated in a batch as a grid" it is a sheet of the frames, without that one moving
picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from modules import errors, images, sd_samplers, shared
from modules.shared import opts, state
from PIL import Image
from torch import Tensor

from lib_pia.lending import lent

SHARE = 0.02  # of the time spent sampling so far that previews may take
FEWER = (16, 9, 4, 2, 1)  # frames on a sheet, where all of them would take too long
MOVING = ("png", "webp")  # preview formats that can move (opts.live_previews_image_format)


class MovingPreview(Image.Image):
    """A picture that is saved as a moving one: the host turns previews into data by `save`."""

    frames: list[Image.Image]
    milliseconds: int

    @classmethod
    def of(cls, frames: list[Image.Image], milliseconds: int) -> MovingPreview:
        image = cls()
        image.__setstate__(frames[0].__getstate__())  # Pillow's own way to fill a picture that is there
        image.frames, image.milliseconds = frames, milliseconds
        return image

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        self.frames[0].save(
            fp,
            format=format,
            save_all=True,
            append_images=self.frames[1:],
            duration=self.milliseconds,
            loop=0,
            **params,
        )


class ClipPreview:
    """Stands in for the host's `state.do_set_current_image` while one clip is sampled."""

    def __init__(self, num_frames: int, fps: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.rows, self.fps, self.clock = num_frames, fps, clock
        self.finished: Tensor | None = None  # [F, 4, H, W] frames of earlier windows, shown before those in the making
        self.started = clock()
        self.spent = 0.0  # seconds
        self.per_frame: float | None = None

    def __call__(self) -> None:
        """Makes a preview of the latents that are there, if there is time for one. Never raises, like the host's
        own."""
        latents = state.current_latent
        if latents is None:
            return
        if len(latents) != self.rows:
            type(state).do_set_current_image(state)
            return
        count = self.affordable()
        if not count:
            return
        began = self.clock()
        try:
            self._show(latents if self.finished is None else torch.cat([self.finished.to(latents), latents]), count)
        except Exception:  # for example a model that moves to another device right now
            errors.record_exception()
        self.per_frame = (self.clock() - began) / count
        self.spent += self.clock() - began

    @property
    def num_frames(self) -> int:
        """Frames that can be shown."""
        return self.rows + (0 if self.finished is None else len(self.finished))

    def affordable(self) -> int:
        """How many frames may be decoded now: one to begin with, then as many as fit into SHARE of the time."""
        if self.per_frame is None:
            return 1
        frames = (SHARE * (self.clock() - self.started) - self.spent) / max(self.per_frame, 1e-9)
        return next((count for count in (self.num_frames, *FEWER) if count <= min(frames, self.num_frames)), 0)

    def _show(self, latents: Tensor, count: int) -> None:
        """`count` frames of `latents` [F, 4, H, W], evenly spread; a single one is the last."""
        last = self.num_frames - 1
        chosen = [round(last * i / (count - 1)) for i in range(count)] if count > 1 else [last]
        frames = [sd_samplers.sample_to_image(latents, index) for index in chosen]
        if count > 1 and not opts.show_progress_grid and opts.live_previews_image_format in MOVING:
            image = MovingPreview.of(frames, round(1000 * self.num_frames / self.fps / count))
        else:
            image = images.image_grid(frames) if count > 1 else frames[0]
        type(state).assign_current_image(state, image)
        state.current_image_sampling_step = state.sampling_step

    def instead(self, image: Image.Image) -> None:
        """For `state.assign_current_image` where the host makes previews between steps (low-memory modes), always of
        the first frame."""
        self()


@contextmanager
def clip_preview(num_frames: int, fps: int) -> Iterator[ClipPreview]:
    """Inside the block the host's live preview shows the clip."""
    preview = ClipPreview(num_frames, fps)
    between = {} if shared.parallel_processing_allowed else {"assign_current_image": preview.instead}
    with lent(state, do_set_current_image=preview, **between):
        yield preview
