"""Sampling one clip: inside the host's own `p.sample`, with PIA's network, schedule and start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from modules import devices, rng
from modules.shared import state
from torch import Tensor

from lib_pia.errors import HostError, SettingsError
from lib_pia.host import models
from lib_pia.lending import lent
from lib_pia.schedule import lend_schedule, linear_alphas_cumprod
from lib_pia.settings import PIASettings

from .and_prompts import sort_by_part
from .attention import WordAttention
from .checks import check_checkpoint, check_unet
from .direction import Direction
from .made import MadeClips
from .neighbours import forget_rows
from .pictures import latent_of
from .preview import ClipPreview, clip_preview
from .progress import progress
from .request import Request
from .sampling import DEFAULT_STRENGTH, fresh_sampler
from .still import Still, StillWatch, make_still
from .travel import Said
from .windows import WindowSampling

LATENT_SCALE = 8  # pixels per latent cell (the host's processing.opt_f)


@dataclasses.dataclass
class ClipRun:
    """The sampling of clip number `clip` of the processing object `p`."""

    p: Any
    made: MadeClips
    clip: int
    said: Said
    windows: WindowSampling | None = dataclasses.field(default=None, init=False)  # while the clip's frames are sampled
    preview: ClipPreview | None = dataclasses.field(default=None, init=False)
    still_made: bool = dataclasses.field(default=False, init=False)
    row_error: Exception | None = dataclasses.field(default=None, init=False)
    attention: WordAttention | None = dataclasses.field(default=None, init=False)  # where `attention_of` asks for it
    # called before the host uses its sampler
    watch: Callable[[Any, Any], None] | None = dataclasses.field(default=None, init=False)

    @property
    def request(self) -> Request:
        return self.made.request

    @property
    def settings(self) -> PIASettings:
        return self.made.request.settings

    # ---- hooks

    def before_sampling(self) -> None:
        """The host made its sampler and is about to use it."""
        if self.watch is not None and self.p.sampler is not None:
            self.watch(self.p, self.p.sampler)

    def sort_rows(self, params: Any) -> None:
        """Rows of AND prompts, part by part. Never raises: the host would swallow it."""
        if self.windows is not None and self.windows.window is not None:
            try:
                self.windows.begin_step(params)
                sort_by_part(params, self.windows.window.length)
                if self.attention is not None:
                    self.attention.begin_step(self.windows.window)
            except Exception as error:
                self.row_error = error

    def blend(self, args: Any) -> None:
        """The host blends what a mask keeps into the latents."""
        if self.windows is not None:
            self.windows.blend(args)

    # ---- p.sample

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        """Latents [F, 4, H, W]; the arguments are those of the host's `p.sample`."""
        p = self.p
        check_checkpoint(p)
        check_unet()
        if self.settings.attention_of:
            if self.said.prompt is not None:
                raise SettingsError(
                    "PIA setting attention_of cannot follow a prompt whose text changes from frame to frame; leave one "
                    "of them out."
                )
            self.attention = WordAttention(p, self.settings.attention_of, self.request.rows)
        model = self._load()
        latent = self._picture()
        if self.still_made and (state.interrupted or state.skipped):
            p.comment("Interrupted before the animation began: every frame is the still picture.")
            self.made.sampled += 1
            return latent.repeat(self.request.rows, 1, 1, 1)
        with ExitStack() as stack:
            stack.enter_context(models.on_device(model))
            stack.enter_context(lend_schedule(p.sd_model, linear_alphas_cumprod()))
            rows = self.request.windows[0].length
            self.preview = stack.enter_context(clip_preview(rows, self.settings.fps))
            direction = self._direction(latent.to(devices.device))
            windows = WindowSampling(p, self.request, model, direction, self._on_window)
            self._ready_host(stack, latent, windows)
            stack.enter_context(lent(self, windows=windows))
            stack.enter_context(self._control(lambda: self._frames_of(windows)))
            if self.attention is not None:
                stack.enter_context(self.attention.reading(p.sd_model.model.diffusion_model, latent))
                self.made.attention[self.clip] = self.attention
            forget_rows(p)
            samples = p.sample(*args, **kwargs)
        self._check_sampled(windows)
        self.made.sampled += 1
        self._say("decoding")
        return samples

    def _picture(self) -> Tensor:
        """The latent of the clip's picture [1, 4, H, W]; txt2img's is made now."""
        if self.request.is_img2img:
            return self.made.condition(self.clip).latent
        if self.made.given is not None:
            return self.made.given[-1:]
        self.still_made = True
        return self._still()

    def _direction(self, picture: Tensor) -> Direction:
        size = (picture.shape[3] * LATENT_SCALE, picture.shape[2] * LATENT_SCALE)
        pictures = [latent_of(self.p, further, size) for further in self.request.pictures]
        brush = self.made.condition(self.clip).brush if self.request.is_img2img else None
        return Direction(self.settings, picture, self.made.given, pictures, brush, self.said)

    def _check_sampled(self, windows: WindowSampling) -> None:
        if not windows.used:
            raise HostError(
                "The clip could not be sampled, because another extension replaced the host's sampling; switch that "
                "extension off."
            )
        if self.row_error is not None:
            raise HostError(
                f"The rows of a prompt with AND could not be sorted into clips ({self.row_error}); leave AND out of "
                "the prompt."
            )

    def _control(self, frames: Callable[[], Sequence[int]]) -> AbstractContextManager:
        """Shows ControlNet the control clip's `frames()` at every call of the UNet, if there is one."""
        if self.made.control is None:
            return nullcontext()
        return self.made.control.shown(self.p.sd_model.model.diffusion_model, frames)

    def _frames_of(self, windows: WindowSampling) -> Sequence[int]:
        return range(self.request.rows) if windows.frames_now is None else windows.frames_now

    def _on_window(self, number: int, finished: Tensor | None) -> None:
        if self.preview is not None:
            self.preview.finished = finished
        count = len(self.request.windows)
        if number == 0 and self.clip == 0 and state.job_count > 0:
            state.job_count += (count - 1) * self.request.clips
        self._say("sampling", f", window {number + 1}/{count}" if count > 1 else "")

    def _say(self, doing: str, part: str = "") -> None:
        progress(f"{doing} clip {self.clip + 1}/{self.request.clips}{part}")

    def _load(self) -> Any:
        file = models.find_model(self.settings.model)
        if not models.is_cached(file):
            progress(f"loading {file.name}")
        return models.cache.get(file, devices.dtype_unet)

    def _ready_host(self, stack: ExitStack, latent: Tensor, windows: WindowSampling) -> None:
        """Makes the host's own `p.sample` sample the clip by `windows`, until `stack` closes."""
        p = self.p
        if self.request.is_img2img:
            windows(p, stack.enter_context(fresh_sampler(p)))
            return
        height, width = latent.shape[2:]
        noise = rng.ImageRNG(
            latent.shape[1:],
            p.seeds,
            subseeds=p.subseeds,
            subseed_strength=p.subseed_strength,
            seed_resize_from_h=p.seed_resize_from_h,
            seed_resize_from_w=p.seed_resize_from_w,
        )
        conditioning = p.txt2img_image_conditioning

        def one_for_all(x: Tensor, *size: int) -> Tensor:
            return conditioning(x[:1], *size).repeat(len(x), 1, 1, 1)

        stack.enter_context(
            lent(
                p,
                enable_hr=False,
                firstpass_image=None,
                rng=noise,
                width=width * LATENT_SCALE,
                height=height * LATENT_SCALE,
                txt2img_image_conditioning=one_for_all,
            )
        )
        if windows.from_image:
            stack.enter_context(lent(p, denoising_strength=p.denoising_strength or DEFAULT_STRENGTH))
        self.watch = windows

    def _still(self) -> Tensor:
        """The latent of the clip's still picture [1, 4, H, W]."""
        p = self.p
        self._say("making the still picture of")
        if self.clip == 0 and state.job_count > 0:
            state.job_count += self.request.clips
        watch = self.watch = StillWatch()
        forget_rows(p)
        with self._control(lambda: [self.made.condition_frame]):
            still: Still = make_still(p, p.sample, self.request.rows, watch)
        self.watch = None
        state.nextjob()
        wanted = self.settings.color_match > 0 or not p.is_api
        self.made.stills.append(still.picture(p.sd_model) if wanted else None)
        return still.latent
