"""What a generation borrows of its processing object `p` and of torch, all of it given back by `end`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from modules import devices

from lib_pia.lending import Lent

from .progress import progress
from .request import Request

ATTRIBUTE = "pia_session"


class GlobalRandom:
    """torch's global random state, of the CPU and of the host's device, as it was when this was made.

    The host's ordinary img2img draws from it, and every generation moves it: put back, the next ordinary picture is the
    one that it would have been without the clip.
    """

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(devices.device) if devices.device.type == "cuda" else None
        self._given_back = False

    def give_back(self) -> None:
        """Once; later calls do nothing."""
        if self._given_back:
            return
        self._given_back = True
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, devices.device)


class Takeover:
    """`p` in our hands: what is lent on it, the random state from before, and the session that this is for."""

    def __init__(self, p: Any) -> None:
        self.p = p
        self.loan = Lent(p)
        self.random = GlobalRandom()
        self.session: Any = None  # lib_pia.host.generation.session.Session, once the request is known to be good
        self.armed = False  # whether p.init or p.sample will raise
        setattr(p, ATTRIBUTE, self)
        self.loan.lend(close=self._close)

    def frames_for_pictures(self, request: Request, init: Callable[..., None]) -> None:
        """Turns pictures per batch and batches into clips of frames; `init` stands in for `p.init`."""
        p, frames = self.p, request.rows
        for name in ("prompt", "negative_prompt"):
            if isinstance(value := getattr(p, name), list):
                self.loan.lend(**{name: [text for text in value for _ in range(frames)]})
        for name in ("seed", "subseed"):
            if isinstance(value := getattr(p, name), list):
                self.loan.lend(**{name: [int(first) + i for first in value for i in range(frames)]})
        if getattr(p, "firstpass_image", None) is not None:  # "Upscale" on a clip in the gallery: a GIF has a palette
            self.loan.lend(firstpass_image=p.firstpass_image.convert("RGB"))
        self.loan.lend(
            batch_size=frames, n_iter=request.clips, do_not_save_samples=True, do_not_save_grid=True, init=init
        )
        p.extra_generation_params.update(request.settings.infotext())

    def arm(self, error: Exception) -> None:
        """`error` will be raised by the first step of the generation whose exceptions reach the user."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self.end()
            raise error

        self.armed = True
        self.loan.lend(init=fail, sample=fail)

    def end(self, p: Any = None) -> None:
        """Gives back everything lent on `p` (or on a copy of it)."""
        if p is None or p is self.p:
            progress(None)
            self.loan.give_back()
            self.random.give_back()
            vars(self.p).pop(ATTRIBUTE, None)
        else:
            self.loan.give_back(target=p)
            vars(p).pop(ATTRIBUTE, None)

    def _close(self) -> None:
        """Stands in for `p.close`, which the host calls however a generation ended, also where no hook is called."""
        self.end()
        self.p.close()


def takeover_of(p: Any) -> Takeover | None:
    """What was taken over of `p`, or of the object that `p` is a copy of."""
    return vars(p).get(ATTRIBUTE)
