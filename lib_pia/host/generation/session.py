"""One generation: a `Session` is bound to one processing object `p`, and leaves it and the host as it found them.

    before_process   settings; clips and frames into p.batch_size and p.n_iter. A failure is armed: p.init and p.sample
    raise it. p.init           the condition image is encoded once process_batch    p.sample = session.sample p.sample
    checks -> PIA model -> linear schedule -> sampler made anew -> inject -> the host's own sampling -> all undone
    postprocess      lib_pia.host.delivery.output

The host swallows exceptions of hooks, so whatever may fail there is raised by `p.init` or `p.sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from modules import devices, rng
from modules.shared import opts, state
from PIL import Image
from torch import Tensor

from lib_pia.affinity import affinity_scores, frame_index
from lib_pia.condition import build_condition
from lib_pia.errors import HostError
from lib_pia.host import models
from lib_pia.host.patches import Lent, lent
from lib_pia.injection import inject
from lib_pia.schedule import lend_schedule, linear_alphas_cumprod
from lib_pia.settings import FIELDS, PIASettings

from .and_prompts import sort_by_frame, sort_by_part
from .checks import check_checkpoint, check_pictures, check_unet
from .pictures import ConditionPicture, as_shown, encode_pictures
from .preview import clip_preview
from .request import resolved, settings_from_args
from .sampling import DEFAULT_STRENGTH, LatentStart, fresh_sampler, start_from_noise
from .still import Still, StillWatch, make_still

ATTRIBUTE = "pia_session"
LATENT_SCALE = 8  # pixels per latent cell (the host's processing.opt_f)


def session_of(p: Any) -> Session | None:
    """The session bound to this very `p`; a copy of a bound `p` has none."""
    session = vars(p).get(ATTRIBUTE)
    return session if session is not None and session.p is p else None


def begin(p: Any, args: Sequence[Any]) -> None:
    """Start of a `process_images(p)`: ends what an earlier run left on `p` (or on what it was copied from), and binds a
    session if PIA is asked for. Never raises."""
    leftover = vars(p).get(ATTRIBUTE)
    if leftover is not None:
        leftover.end(p)
    for field in FIELDS:
        p.extra_generation_params.pop(field.infotext, None)
    session = Session(p)
    try:
        settings = settings_from_args(args)
        if settings is not None:
            setattr(p, ATTRIBUTE, session)
            session.prepare(settings)
    except Exception as error:
        session.arm(error)


class Session:
    """One `process_images(p)` with PIA."""

    def __init__(self, p: Any) -> None:
        self.p = p
        self.loan = Lent(p)
        self.settings: PIASettings | None = None
        self.pictures: list[ConditionPicture] = []
        self.stills: list[Image.Image | None] = []  # per clip of txt2img, where it is needed
        self.frame_count: list[int] = []  # pictures that the host made per clip
        self.animating = False
        self.sampled = 0
        self.row_error: Exception | None = None
        self.watch: Callable[[Any, Any], None] | None = None

    # ---- before_process

    def prepare(self, settings: PIASettings) -> None:
        """Turns pictures per batch and batches into clips of frames."""
        p, frames = self.p, settings.num_frames
        self.settings = resolved(settings, models.find_model(settings.model).name)
        self.is_img2img = hasattr(p, "init_images")
        batch = p.batch_size
        if self.is_img2img:
            check_pictures(p.init_images, batch)
            batch = len(p.init_images) if len(p.init_images) > 1 else batch
        prompts = next((value for value in (p.prompt, p.negative_prompt) if isinstance(value, list)), None)
        self.clips = len(prompts) if prompts is not None else batch * p.n_iter
        self.saves = not p.do_not_save_samples
        for name in ("prompt", "negative_prompt"):
            if isinstance(value := getattr(p, name), list):
                self.loan.lend(**{name: [text for text in value for _ in range(frames)]})
        for name in ("seed", "subseed"):
            if isinstance(value := getattr(p, name), list):
                self.loan.lend(**{name: [int(first) + i for first in value for i in range(frames)]})
        if getattr(p, "firstpass_image", None) is not None:  # "Upscale" on a clip in the gallery: a GIF has a palette
            self.loan.lend(firstpass_image=p.firstpass_image.convert("RGB"))
        self.loan.lend(
            batch_size=frames, n_iter=self.clips, do_not_save_samples=True, do_not_save_grid=True, init=self.init
        )
        p.extra_generation_params.update(self.settings.infotext())

    def arm(self, error: Exception) -> None:
        """`error` will be raised by the first step of the generation whose exceptions reach the user."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self.end()
            raise error

        setattr(self.p, ATTRIBUTE, self)
        self.loan.lend(init=fail, sample=fail)

    def end(self, p: Any = None) -> None:
        """Gives back everything lent on `p` (or on a copy of it)."""
        if p is None or p is self.p:
            self.progress(None)
            self.loan.give_back()
            vars(self.p).pop(ATTRIBUTE, None)
        else:
            self.loan.give_back(target=p)
            vars(p).pop(ATTRIBUTE, None)

    # ---- p.init

    def init(self, all_prompts: list, all_seeds: list, all_subseeds: list) -> None:
        """Stands in for `p.init`: everything that can be refused is refused here, before anything is computed."""
        p = self.p
        self.loan.give_back("init")
        try:
            if self.is_img2img:
                check_checkpoint(p)
                self.pictures = encode_pictures(p, p.init, all_prompts, all_seeds, all_subseeds)
                self._show_picture(0)
            else:
                p.init(all_prompts, all_seeds, all_subseeds)
                check_checkpoint(p)
        except BaseException:
            self.end()
            raise

    def _show_picture(self, clip: int) -> None:
        """The host's attributes of the clip's condition image, for F frames."""
        picture = self.pictures[clip % len(self.pictures)]
        for name, value in picture.attributes(self.settings.num_frames).items():
            setattr(self.p, name, value)

    # ---- hooks around one clip

    def same_prompt(self) -> None:
        """All frames of a clip share the first frame's prompts, whatever an extension drew per picture."""
        p, frames = self.p, self.settings.num_frames
        first = p.iteration * frames
        for every, now in ((p.all_prompts, p.prompts), (p.all_negative_prompts, p.negative_prompts)):
            now[:] = now[:1] * len(now)
            every[first : first + len(now)] = now

    def before_clip(self) -> None:
        """Takes over `p.sample` for the clip that the host is about to sample. Never raises."""
        try:
            if self.is_img2img:
                self._show_picture(self.p.iteration)
            self.loan.lend(sample=self.sample)
        except Exception as error:
            self.arm(error)

    def before_sampling(self) -> None:
        """The host made its sampler and is about to use it."""
        if self.watch is not None and self.p.sampler is not None:
            self.watch(self.p, self.p.sampler)

    def sort_rows(self, params: Any) -> None:
        if self.animating:
            try:
                sort_by_part(params, self.settings.num_frames)
            except Exception as error:  # the host swallows it
                self.row_error = error

    @staticmethod
    def unsort_rows(params: Any) -> None:
        sort_by_frame(params)

    def count_frame(self) -> None:
        """One picture of the current clip is finished."""
        while len(self.frame_count) <= self.p.iteration:
            self.frame_count.append(0)
        self.frame_count[self.p.iteration] += 1

    # ---- p.sample

    def sample(
        self,
        conditioning: Any,
        unconditional_conditioning: Any,
        seeds: list,
        subseeds: list,
        subseed_strength: float,
        prompts: list,
    ) -> Tensor:
        """Stands in for `p.sample`: latents [F, 4, H, W] of one clip."""
        self.loan.give_back("sample")
        arguments = {
            "conditioning": conditioning,
            "unconditional_conditioning": unconditional_conditioning,
            "seeds": seeds,
            "subseeds": subseeds,
            "subseed_strength": subseed_strength,
            "prompts": prompts,
        }
        try:
            return self._sample(arguments)
        except BaseException:
            self.end()
            raise
        finally:
            self.watch = None

    def _sample(self, arguments: dict[str, Any]) -> Tensor:
        p, clip = self.p, self.p.iteration
        check_checkpoint(p)
        check_unet()
        model = self._load()
        if self.is_img2img:
            latent = self.pictures[clip % len(self.pictures)].latent
        else:
            latent = self._still(clip)
            if state.interrupted or state.skipped:
                p.comment("Interrupted before the animation began: every frame is the still picture.")
                self.sampled += 1
                return latent.repeat(self.settings.num_frames, 1, 1, 1)
        self.progress(f"sampling clip {clip + 1}/{self.clips}")
        affinity = self.affinity()
        with ExitStack() as stack:
            stack.enter_context(models.on_device(model))
            condition = build_condition(latent.to(devices.device, torch.float32), affinity)
            stack.enter_context(lend_schedule(p.sd_model, linear_alphas_cumprod()))
            self._ready_host(stack, latent)
            stack.enter_context(inject(p.sd_model.model.diffusion_model, model, condition))
            stack.enter_context(lent(self, animating=True))
            stack.enter_context(clip_preview(self.settings.num_frames, self.settings.fps))
            samples = p.sample(**arguments)
        if isinstance(self.watch, LatentStart) and not self.watch.used:
            raise HostError(
                "The clip could not be started from the picture, because another extension replaced the host's "
                "sampling; set "
                "start_from to noise, or switch that extension off."
            )
        if self.row_error is not None:
            raise HostError(
                f"The rows of a prompt with AND could not be sorted into clips ({self.row_error}); leave AND out of "
                "the prompt."
            )
        self.sampled += 1
        self.progress(f"decoding clip {clip + 1}/{self.clips}")
        return samples

    def affinity(self) -> Tensor:
        """The clip's affinity, [F]."""
        s = self.settings
        return affinity_scores(s.num_frames, s.condition_frame, s.motion, s.magnitude, s.affinity)

    def _load(self) -> Any:
        file = models.find_model(self.settings.model)
        if not models.is_cached(file):
            self.progress(f"loading {file.name}")
        return models.cache.get(file, devices.dtype_unet)

    def _ready_host(self, stack: ExitStack, latent: Tensor) -> None:
        """Makes the host's own `p.sample` sample the clip, until `stack` closes."""
        p, from_image = self.p, self.settings.start_from == "image"
        if self.is_img2img:
            sampler = stack.enter_context(fresh_sampler(p))
            if not from_image:
                start_from_noise(sampler)
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
        if from_image:
            stack.enter_context(lent(p, denoising_strength=p.denoising_strength or DEFAULT_STRENGTH))
            self.watch = LatentStart(latent.repeat(self.settings.num_frames, 1, 1, 1))

    def _still(self, clip: int) -> Tensor:
        """The latent of the clip's still picture [1, 4, H, W]."""
        p = self.p
        self.progress(f"making the still picture of clip {clip + 1}/{self.clips}")
        if clip == 0 and state.job_count > 0:
            state.job_count += self.clips
        watch = self.watch = StillWatch()
        still: Still = make_still(p, p.sample, self.settings.num_frames, watch)
        self.watch = None
        state.nextjob()
        wanted = self.settings.color_match > 0 or not p.is_api
        self.stills.append(still.picture(p.sd_model) if wanted else None)
        return still.latent

    # ---- afterwards

    def picture(self, clip: int, size: tuple[int, int]) -> Image.Image | None:
        """The condition image of a clip at `size` (width, height), where it is known."""
        if self.is_img2img:
            return as_shown(self.p, self.pictures[clip % len(self.pictures)].image, size)
        picture = self.stills[clip] if clip < len(self.stills) else None
        return picture if picture is None or picture.size == size else picture.resize(size, Image.LANCZOS)

    def overlay(self, clip: int) -> Image.Image | None:
        """What inpainting lays over every frame of a clip (the input, transparent where it is masked), if anything."""
        overlays = self.pictures[clip % len(self.pictures)].host["overlay_images"] if self.is_img2img else None
        return overlays[0] if overlays and opts.overlay_inpaint else None

    @property
    def condition_frame(self) -> int:
        return frame_index(self.settings.condition_frame, self.settings.num_frames)

    @staticmethod
    def progress(text: str | None) -> None:
        """One line in the host's progress bar."""
        state.textinfo = f"PIA: {text}" if text else None
