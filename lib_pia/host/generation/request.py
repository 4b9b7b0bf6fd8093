"""From what the host hands to a script's hooks to one frozen `Request`."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lib_pia.errors import SettingsError
from lib_pia.host import models, upscalers
from lib_pia.presets import find_preset
from lib_pia.settings import PIASettings
from lib_pia.settings_fields import FIELD, FIELDS
from lib_pia.settings_values import shown
from lib_pia.windows import Window, plan, plan_slide

from .brush import check_mask
from .checks import check_pictures
from .continued import ContinuedClip, read_continued
from .given import picture
from .motion_loras import find_motion_loras

NUMBERS = re.compile(r"(\d+)").split  # so that 10.png comes after 9.png
AUTOMATIC = "Automatic"  # what the panel's dropdown shows for "the only or first PIA model found"


def settings_from_args(args: Sequence[Any]) -> PIASettings | None:
    """Settings of a request, or None where PIA is off.

    `args` are the script's: either the first is an object of settings (API; giving it means enabled, and its "preset"
    names what else is set), or they are the values of the panel's components in the order of `FIELDS`. Raises
    SettingsError.
    """
    first = args[0] if args else False
    if isinstance(first, Mapping):
        settings = PIASettings.from_dict({"enabled": True, **_plain(_with_preset(first))})
        return settings if settings.enabled else None
    if not isinstance(first, bool) and first is not None:
        raise SettingsError(
            f'The first argument of script "{FIELD["enabled"].label}" is {shown(first)}; it must be an object of PIA '
            "settings or true or false."
        )
    if not first:
        return None
    values = dict(zip(FIELD, args))
    if len(args) > len(FIELDS):
        return PIASettings.from_values(args)  # says how many there may be
    return PIASettings(**_plain(values))


def _with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, and what their "preset" says of others. Raises SettingsError."""
    values = dict(values)
    name = values.pop("preset", None)
    return values if name is None else {**find_preset(name, models.presets_file()), **values}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The panel's spellings: "Automatic" for no model, 0 for what may be empty, a picture alone for the end picture."""
    values = dict(values)
    if values.get("model") == AUTOMATIC:
        values["model"] = None
    for field in FIELDS:
        if field.optional and values.get(field.name) == 0 and not isinstance(values[field.name], bool):
            values[field.name] = None
    if isinstance(values.get("pictures"), Image.Image):
        values["pictures"] = [{"frame": -1, "image": png_as_base64(values["pictures"])}]
    files = values.get("control_video")
    files = files if isinstance(files, list) else [files]
    if files and all(hasattr(file, "orig_name") for file in files):
        values["control_video"] = _uploaded(files)
    return values


def _uploaded(files: list) -> str | list[str]:
    """What the page's files hold, as base64 text: one clip, or pictures in the order of their names."""

    def name(file: Any) -> list[str | int]:
        return [int(part) if part.isdecimal() else part for part in NUMBERS(Path(file.orig_name).name)]

    texts = [base64.b64encode(Path(file.name).read_bytes()).decode("ascii") for file in sorted(files, key=name)]
    return texts[0] if len(texts) == 1 else texts


def png_as_base64(picture: Image.Image) -> str:
    """A picture as the base64 text of a PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclasses.dataclass(frozen=True)
class Request:
    """One generation with PIA, as it was asked for."""

    settings: PIASettings  # naming the PIA model that is used
    is_img2img: bool
    clips: int  # batch size x batch count, or what lists of prompts or pictures say
    batch_size: int  # the host's, before frames took its place
    saves: bool  # whether the host would have saved pictures
    continued: ContinuedClip | None = None  # the clip that this one goes on from
    pictures: tuple[Image.Image, ...] = ()  # those of `settings.pictures`
    loras: tuple[tuple[str, float], ...] = ()  # path and weight of `settings.motion_loras`

    @property
    def known(self) -> int:
        """Frames that are given, in front of the new ones."""
        return self.continued.known if self.continued else 0

    @property
    def remade(self) -> int:
        """Of these the last ones, which are made again and give way to the new frames, as a chain's do: none where the
        new frames alone are delivered."""
        return min(self.known, self.settings.overlap_frames - 1) if self.settings.continue_whole else 0

    @property
    def before(self) -> tuple[Image.Image, ...]:
        """The frames of the clip that is gone on from which are delivered in front of those that are made."""
        if self.continued is None or not self.settings.continue_whole:
            return ()
        return self.continued.frames[: len(self.continued.frames) - self.remade]

    @functools.cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows of a clip in the order of making."""
        return plan(self.settings, self.known)

    @functools.cached_property
    def spans(self) -> tuple[tuple[int, ...], ...]:
        """The frames of each window of a slide; empty for other clips."""
        return plan_slide(self.settings) if self.settings.is_long and self.settings.longer == "slide" else ()

    @property
    def rows(self) -> int:
        """Frames that are sampled per clip: the host's batch size while the clip is made."""
        return self.settings.num_frames + self.known


def read_request(p: Any, settings: PIASettings) -> Request:
    """The request of the host's processing object `p`. Raises SettingsError and CheckpointError."""
    settings = dataclasses.replace(settings, model=models.find_model(settings.model).name)
    is_img2img = hasattr(p, "init_images")
    batch = p.batch_size
    if is_img2img:
        check_pictures(p.init_images, batch)
        batch = len(p.init_images) if len(p.init_images) > 1 else batch
    prompts = next((value for value in (p.prompt, p.negative_prompt) if isinstance(value, list)), None)
    clips = len(prompts) if prompts is not None else batch * p.n_iter
    check_mask(p, settings)
    upscalers.find(settings.upscaler)
    loras = find_motion_loras(settings)
    continued = read_continued(settings)
    pictures = tuple(picture("pictures", one.image) for one in settings.pictures)
    return Request(settings, is_img2img, clips, p.batch_size, not p.do_not_save_samples, continued, pictures, loras)
