"""Sampling a clip window by window, inside the one call of a sampler that the host makes.

`p.batch_size` stays the number of the clip's frames, so that noise, seeds, conditioning, decoding and saving remain the
host's. What it hands to its sampler is cut into the windows' rows; every window has a sampler of its own. Known frames
are kept, wholly or in part, as the host keeps what is not masked: by `p.mask`, `p.nmask` and the sampler's init latent.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from modules import sd_samplers
from modules.shared import state
from torch import Tensor

from lib_pia.deep_features import DeepFeatures, keep_deep_features
from lib_pia.injection import inject
from lib_pia.lending import lent
from lib_pia.model import PIAModel
from lib_pia.windows import Window, kept

from .direction import Direction
from .request import Request
from .slide import sliding
from .travel import rows_of

CLAMPS = ("noised", "clean")
# How samplers that take the known frames before the model (DDIM, PLMS, UniPC) see them: at the noise of the step, as
# training showed the frames of a clip, or without noise, as the host hands them what is not masked.
CLAMP = "noised"


class FrameNoise:
    """The host's noise for some of the frames: `p.rng`, whose generators belong to frames."""

    def __init__(self, rng: Any, frames: slice) -> None:
        self._frames = frames
        self._all = rng
        self._some = None
        if isinstance(getattr(rng, "generators", None), list):
            self._some = copy.copy(rng)
            self._some.generators = rng.generators[frames]

    def next(self) -> Tensor:
        """[len(frames), 4, H, W]; another extension's noise, which has no generators, is drawn for all frames."""
        return self._all.next()[self._frames] if self._some is None else self._some.next()


@dataclasses.dataclass
class HostCall:
    """What the host handed to its sampler, for all frames of the clip."""

    init: Tensor  # [F, 4, H, W] the picture's latent per frame: where `image` starts, and what masks keep
    noise: Tensor  # [F, 4, H, W]
    cond: Any
    uncond: Any
    steps: int | None
    image_conditioning: Tensor | None


class WindowSampling:
    """Stands in for `sample` and `sample_img2img` of the sampler that the host made for a clip.

    direction: each window's condition. on_window: called with a window's number before it is made, and the latents
    [F, 4, H, W] of the frames that are finished, or None.
    """

    def __init__(
        self,
        p: Any,
        request: Request,
        model: PIAModel,
        direction: Direction,
        on_window: Callable[[int, Tensor | None], None],
    ) -> None:
        self.p, self.model, self.direction, self.on_window = p, model, direction, on_window
        self.plan, self.spans = request.windows, request.spans
        self.settings, self.given, self.remade = request.settings, request.known, request.remade
        self.from_image = request.settings.start_from == "image"
        self.fast = request.settings.fast
        self.call: HostCall | None = None  # what the host handed over, once it did
        self.window: Window | None = None  # the one that is sampled now
        self.frames_now: Sequence[int] | None = None  # the frames that the UNet is called with
        self._noise: Tensor | None = None  # its starting noise
        self._deep: DeepFeatures | None = None  # what `fast` keeps of it from step to step
        self._first: Any = None  # the host's sampler, for the first window

    # ---- what the host calls

    def __call__(self, p: Any, sampler: Any) -> None:
        """Puts this in front of `sampler`, an instance made for this clip and thrown away with it."""
        self._first = Started(sampler, sampler.sample, sampler.sample_img2img)
        sampler.sample, sampler.sample_img2img = self._sample, self._sample_img2img

    def _sample(
        self,
        p: Any,
        x: Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Tensor | None = None,
    ) -> Tensor:
        init = self.direction.picture.expand(len(x), -1, -1, -1)
        return self._clip(
            HostCall(init.to(x), x, conditioning, unconditional_conditioning, steps, image_conditioning)
        )

    def _sample_img2img(
        self,
        p: Any,
        x: Tensor,
        noise: Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Tensor | None = None,
    ) -> Tensor:
        return self._clip(HostCall(x, noise, conditioning, unconditional_conditioning, steps, image_conditioning))

    # ---- the windows

    def _clip(self, call: HostCall) -> Tensor:
        """Latents of all frames, or of those that were finished when the user interrupted."""
        self.call = call
        made = self.direction.begin(torch.zeros_like(call.noise))
        done = slice(0, 0)
        for number, window in enumerate(self.plan):
            self.on_window(number, made[done] if number else None)
            samples = self._one(call, window, made, number)
            stopped = state.interrupted or state.skipped
            if stopped and number:
                break
            new = self._kept(window) < 1
            made[window.frames][new] = samples[new].to(made)
            done = _joined(done, window.frames)
            if stopped or (state.stopping_generation and number + 1 < len(self.plan)):
                break
            if number + 1 < len(self.plan):
                state.nextjob()
        return self._finished(made, done)

    def _one(self, call: HostCall, window: Window, made: Tensor, number: int) -> Tensor:
        """The latents of one window, [length, 4, H, W]."""
        p, frames = self.p, window.frames
        noise = call.noise[frames]
        init = self.direction.start(window, made, call.init[frames], getattr(p, "nmask", None))
        rows = range(frames.start, frames.stop)
        conds = self.direction.texts(call.cond, call.uncond, rows)
        rest = {"steps": call.steps, "image_conditioning": rows_of(call.image_conditioning, rows)}
        started = self._first if number == 0 else Started.of(sd_samplers.create_sampler(p.sampler_name, p.sd_model))
        with ExitStack() as stack:
            condition = self.direction.condition(window, made)
            if self.spans:
                stack.enter_context(sliding(p.sd_model, self.model, condition, self.spans, self._on_span))
            else:
                stack.enter_context(inject(p.sd_model.model.diffusion_model, self.model, condition))
            deep = stack.enter_context(self._keeping(len(self.spans[0]) if self.spans else window.length))
            if len(self.plan) > 1 or window.known:
                stack.enter_context(self._window_of_p(window, init))
            stack.enter_context(lent(self, window=window, frames_now=rows, _noise=noise, _deep=deep))
            if self.from_image:
                return started.sample_img2img(p, init, noise, *conds, **rest)
            started.sampler.model_wrap_cfg.init_latent = init
            return started.sample(p, noise, *conds, **rest)

    def _keeping(self, num_frames: int) -> AbstractContextManager[DeepFeatures | None]:
        """Where `fast` asks for it, deep features are kept in the block."""
        if not self.fast:
            return nullcontext()
        return keep_deep_features(self.p.sd_model.model.diffusion_model, self.fast, num_frames)

    def begin_step(self, params: Any) -> None:
        """`on_cfg_denoiser`: the UNet is about to get the rows of one step."""
        if self._deep is not None:
            self._deep.begin_step(float(params.sigma.max()))

    def _on_span(self, span: Sequence[int]) -> None:
        self.frames_now = span
        if self._deep is not None:
            self._deep.place = tuple(span)

    @contextmanager
    def _window_of_p(self, window: Window, init: Tensor) -> Iterator[None]:
        """`p` as its sampler reads it, for the window's frames alone."""
        p, frames = self.p, window.frames
        values = {name: getattr(p, name)[frames] for name in ("prompts", "negative_prompts", "seeds", "subseeds")}
        values |= {"all_seeds": values["seeds"], "all_subseeds": values["subseeds"], "iteration": 0}
        values |= {"batch_size": window.length, "rng": FrameNoise(p.rng, frames), "init_latent": init}
        if window.known:
            mask = getattr(p, "mask", None)
            stays = self._kept(window).to(init)[:, None, None, None].expand_as(init)
            stays = stays if mask is None else torch.maximum(stays, mask.to(init).expand_as(init))
            values |= {"mask": stays, "nmask": 1.0 - stays}
        with lent(p, **values):
            yield

    def _kept(self, window: Window) -> Tensor:
        return kept(self.settings, window, self.given, self.remade)

    def blend(self, args: Any) -> None:
        """`on_mask_blend`: samplers that take the known frames before the model take them at the noise of the step."""
        if self.window is None or not self.window.known or CLAMP != "noised":
            return
        denoiser = args.denoiser
        if denoiser is None or not denoiser.mask_before_denoising:
            return
        known = list(self.window.known)
        alphas = denoiser.alphas[args.sigma.to(int)[known]][:, None, None, None]
        noised = alphas.sqrt() * args.init_latent[known] + (1 - alphas).sqrt() * self._noise[known]
        blended = torch.lerp(args.current_latent[known].to(noised), noised, args.mask[known].to(noised))
        args.blended_latent[known] = blended.to(args.blended_latent)

    def _finished(self, made: Tensor, done: slice) -> Tensor:
        """The frames that are made; the host's blend with its mask then finds as many rows of the picture."""
        count = done.stop - done.start
        if count == len(made):
            return made
        self.p.comment(f"Interrupted: {count} of {len(made)} frames are finished and delivered.")
        if getattr(self.p, "init_latent", None) is not None:
            self.p.init_latent = self.p.init_latent[:count]
        return made[done]


@dataclasses.dataclass(frozen=True)
class Started:
    """A sampler and its own two ways to start."""

    sampler: Any
    sample: Callable[..., Tensor]
    sample_img2img: Callable[..., Tensor]

    @classmethod
    def of(cls, sampler: Any) -> Started:
        return cls(sampler, sampler.sample, sampler.sample_img2img)


def _joined(a: slice, b: slice) -> slice:
    return b if a.stop == a.start else slice(min(a.start, b.start), max(a.stop, b.stop))
