"""`control_video`: a picture per frame for sd-webui-controlnet, whose units take one picture for all frames by
themselves.

What it reads (tried with 1.1.455): units stand in `p.script_args`, as JSON objects by the API and as objects of its own
class from the page. One with `animatediff_batch` takes all files of the folder `batch_images` in the order of their
names, at its `process`. What it makes of them are the tensors `hint_cond` and `hr_hint_cond` of its network's
`control_params`: [F, 3, H, W], or those twice where the host computes cond and uncond together. Its forward takes the
hints as they are when it is called, so every call of the UNet is given the ones of its own rows.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lib_pia.errors import HostError, SettingsError
from lib_pia.lending import Lent
from lib_pia.settings_fields import MAX_FRAMES
from lib_pia.video.read import clip_info, read_clip

from .given import file_bytes, picture

TITLE = "controlnet"
HINTS = ("hint_cond", "hr_hint_cond")
MAX_SIDE = 2048  # own choice: pixels of a control picture's longer side; more than any SD1.5 clip has
ITSELF = ("ip-adapter",)  # what units with these modules see is a subject, not a frame: they keep their own picture


class ControlClip:
    """The control clip of one generation; made in `before_process`, so that ControlNet finds its units changed."""

    def __init__(self, p: Any, video: str | tuple[str, ...], num_frames: int, loan: Lent) -> None:
        self.num_frames = num_frames
        self.script = _script(p)
        pictures = _frames(video, num_frames)
        self._folder = tempfile.TemporaryDirectory(prefix="pia-control-")
        for number, frame in enumerate(pictures):
            frame.save(Path(self._folder.name) / f"{number:05d}.png", compress_level=1)
        given = list(p.script_args)
        for place in range(self.script.args_from, self.script.args_to):
            if _takes_frames(given[place]):
                given[place] = _with(given[place], animatediff_batch=True, batch_images=self._folder.name)
        if all(_field(unit, "batch_images") != self._folder.name for unit in _units(self.script, given)):
            raise SettingsError(
                "PIA setting control_video needs a ControlNet unit that is enabled and has no picture of its own; "
                "enable one, or leave control_video out."
            )
        loan.lend(script_args_value=given)

    def ready(self) -> None:
        """Called when ControlNet has read the folder. Raises HostError where it made nothing of it."""
        self._folder.cleanup()
        params = getattr(self.script.latest_network, "control_params", None) or []
        self._hints = [
            (param, name, hint[: self.num_frames])
            for param in params
            for name in HINTS
            if isinstance(hint := getattr(param, name, None), Tensor)
            and len(hint) in (self.num_frames, 2 * self.num_frames)
        ]
        if not self._hints:
            raise HostError(
                "ControlNet made nothing of control_video (its own message is in the console); check the unit's model "
                "and preprocessor."
            )

    @contextmanager
    def shown(self, unet: nn.Module, frames: Callable[[], Sequence[int]]) -> Iterator[None]:
        """Inside the block every call of `unet` is given the hints of its rows: B times those of `frames()`."""
        last: tuple = ()

        def before(module: nn.Module, args: tuple) -> None:
            nonlocal last
            rows, now = len(args[0]), list(frames())
            if rows % len(now):
                raise HostError(
                    f"The UNet was called with {rows} rows, which the control pictures of {len(now)} frames do not "
                    "divide; leave control_video out, or switch off what splits the batch."
                )
            if last == (rows, now):
                return
            last = (rows, now)
            for param, name, hint in self._hints:
                setattr(param, name, hint[now].repeat(rows // len(now), 1, 1, 1).to(args[0].device))

        handle = unet.register_forward_pre_hook(before)
        try:
            yield
        finally:
            handle.remove()
            for param, name, hint in self._hints:
                setattr(param, name, hint)


def _script(p: Any) -> Any:
    for script in p.scripts.alwayson_scripts if p.scripts is not None else ():
        if script.title().lower() == TITLE and script.args_to > script.args_from:
            return script
    raise SettingsError(
        "PIA setting control_video needs the extension sd-webui-controlnet; install it, or leave control_video out."
    )


def _frames(video: str | tuple[str, ...], num_frames: int) -> list:
    """The first `num_frames` frames of the clip, or of the pictures, RGB."""
    there = len(video) if isinstance(video, tuple) else clip_info(file_bytes("control_video", video)).frames
    if not num_frames <= there <= MAX_FRAMES:
        raise SettingsError(
            f"PIA setting control_video has {there} frames and the clip {num_frames}; give {num_frames} to "
            f"{MAX_FRAMES} of them, as a clip or as pictures; the first {num_frames} are used."
        )
    if isinstance(video, tuple):
        frames = [picture("control_video", text).convert("RGB") for text in video[:num_frames]]
        for frame in frames:
            frame.thumbnail((MAX_SIDE, MAX_SIDE))  # shrinks only
        return frames
    return read_clip(file_bytes("control_video", video), max_frames=MAX_FRAMES, max_side=MAX_SIDE)[:num_frames]


def _units(script: Any, args: Sequence[Any]) -> Sequence[Any]:
    return args[script.args_from : script.args_to]


def _field(unit: Any, name: str) -> Any:
    return unit.get(name) if isinstance(unit, Mapping) else getattr(unit, name, None)


def _takes_frames(unit: Any) -> bool:
    """Whether a unit is enabled and has no picture."""
    module = str(_field(unit, "module") or "").lower()
    pictures = [_field(unit, name) for name in ("image", "input_image", "ipadapter_input", "batch_images")]
    return bool(_field(unit, "enabled")) and not any(map(_there, pictures)) and not module.startswith(ITSELF)


def _there(picture: Any) -> bool:
    """The page gives a unit without a picture None, or an object whose picture is None."""
    if isinstance(picture, Mapping):
        return _there(picture.get("image"))
    return picture is not None and not (isinstance(picture, (str, list)) and not picture)


def _with(unit: Any, **values: Any) -> Any:
    if isinstance(unit, Mapping):
        return {**unit, **values}
    changed = copy.copy(unit)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed
