"""One generation: a `Session` is bound to one processing object `p`, and leaves it and the host as it found them.

    before_process   settings -> Request; clips and frames into p.batch_size and p.n_iter (`takeover`)
    p.init           the condition image is encoded once
    process_batch    p.sample = Session.sample
    p.sample         `clip.ClipRun`: checks -> PIA model -> linear schedule -> sampler made anew -> inject -> the host's
                     own sampling -> all undone
    postprocess      lib_pia.host.delivery.output, from `MadeClips`

The host swallows exceptions of hooks, so whatever may fail there is raised by `p.init` or `p.sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lib_pia.settings_fields import FIELDS

from .and_prompts import sort_by_frame
from .axes import axes_of, with_axes
from .brush import ready_for_brush, with_brush
from .checks import check_checkpoint
from .clip import ClipRun
from .control import ControlClip
from .made import MadeClips
from .motion_loras import check_tags
from .neighbours import check_count, check_neighbours
from .pictures import encode_pictures
from .request import Request, read_request, settings_from_args
from .takeover import Takeover, takeover_of
from .travel import Said, keep_styles_around


def session_of(p: Any) -> Session | None:
    """The session bound to this very `p`; a copy of a bound `p` has none."""
    takeover = takeover_of(p)
    return takeover.session if takeover is not None and takeover.p is p else None


def begin(p: Any, args: Sequence[Any]) -> None:
    """Start of a `process_images(p)`: ends what an earlier run left on `p` (or on what it was copied from), and binds a
    session if PIA is asked for. Never raises."""
    leftover = takeover_of(p)
    if leftover is not None:
        leftover.end(p)
    for field in FIELDS:
        p.extra_generation_params.pop(field.infotext, None)
    try:
        settings = with_axes(settings_from_args(args), axes_of(p))
        if settings is not None:
            check_neighbours(p)
        request = None if settings is None else read_request(p, settings)
    except Exception as error:
        Takeover(p).arm(error)
        return
    if request is not None:
        takeover = Takeover(p)
        try:
            takeover.session = Session(p, request, takeover)
        except Exception as error:
            takeover.arm(error)


class Session:
    """One `process_images(p)` with PIA: what the host's hooks reach."""

    def __init__(self, p: Any, request: Request, takeover: Takeover) -> None:
        self.p = p
        self.request = request
        self.takeover = takeover
        self.made = MadeClips(p, request)
        self.said = Said()  # by the current clip's prompts
        self.run: ClipRun | None = None  # the clip that is being sampled
        if video := request.settings.control_video:
            self.made.control = ControlClip(p, video, request.rows, takeover.loan)
        takeover.frames_for_pictures(request, self.init)

    # ---- p.init

    def init(self, all_prompts: list, all_seeds: list, all_subseeds: list) -> None:
        """Stands in for `p.init`: everything that can be refused is refused here, before anything is computed."""
        p = self.p
        self.takeover.loan.give_back("init")
        try:
            check_count(p, all_prompts, self.request.clips * self.request.rows)
            self._check_texts(all_prompts)
            if self.made.control is not None:
                self.made.control.ready()
            if self.request.is_img2img:
                check_checkpoint(p)
                with ready_for_brush(p, self.request.settings):
                    pictures = encode_pictures(p, p.init, all_prompts, all_seeds, all_subseeds)
                self.made.conditions = [with_brush(p, self.request.settings, picture) for picture in pictures]
                self._show_picture(0)
            else:
                p.init(all_prompts, all_seeds, all_subseeds)
                check_checkpoint(p)
            if self.request.continued:
                self.made.given = self.request.continued.latents(p, (p.width, p.height))
        except BaseException:
            self.takeover.end()
            raise

    def _show_picture(self, clip: int) -> None:
        """The host's attributes of the clip's condition image, for all its frames."""
        for name, value in self.made.condition(clip).attributes(self.request.rows).items():
            setattr(self.p, name, value)

    # ---- hooks around one clip

    def same_prompt(self) -> None:
        """All frames of a clip share the first frame's prompts, whatever an extension drew per picture, or have what
        that one says of them. Never raises."""
        p, frames = self.p, self.request.rows
        first = p.iteration * frames
        for every, now in ((p.all_prompts, p.prompts), (p.all_negative_prompts, p.negative_prompts)):
            now[:] = now[:1] * len(now)
            every[first : first + len(now)] = now
        if p.prompts:
            try:
                self._spread_texts()
            except Exception as error:
                self.takeover.arm(error)

    def _spread_texts(self) -> None:
        """Gives every row the text of its frame where the clip's prompts name frames; the infotext shows what was
        typed. The still's hires pass has frame 0's."""
        p = self.p
        said = self.said = self._said(p.prompts[0], p.negative_prompts[0])
        for travel, now in ((said.prompt, p.prompts), (said.negative, p.negative_prompts)):
            now[:] = said.texts(travel, now)
        for network in said.prompt.unheard() if said.prompt else ():
            p.comment(f"{network} is not in the first text of the prompt, and counts only there.")
        if getattr(p, "all_hr_prompts", None):
            row = p.iteration * self.request.rows
            hires = self._said(p.all_hr_prompts[row], p.all_hr_negative_prompts[row])
            for travel, name in ((hires.prompt, "all_hr_prompts"), (hires.negative, "all_hr_negative_prompts")):
                if travel is not None:
                    self.takeover.loan.lend(**{name: [travel.texts[0]] * len(getattr(p, name))})

    def _said(self, prompt: str, negative: str) -> Said:
        settings = self.request.settings
        return Said.of(prompt, negative, settings.num_frames, settings.motion == "loop", self.request.known)

    def _check_texts(self, all_prompts: list) -> None:
        """Refuses texts of frames that are not there. Raises SettingsError."""
        keep_styles_around(self.p)
        check_tags(all_prompts)
        for row in range(0, len(all_prompts), self.request.rows):
            self._said(all_prompts[row], self.p.all_negative_prompts[row])

    def before_clip(self) -> None:
        """Takes over `p.sample` for the clip that the host is about to sample. Never raises."""
        if self.takeover.armed:
            return
        self.takeover.loan.give_back("all_hr_prompts", "all_hr_negative_prompts")  # the host has read them
        try:
            if self.request.is_img2img:
                self._show_picture(self.p.iteration)
            self.takeover.loan.lend(sample=self.sample)
        except Exception as error:
            self.takeover.arm(error)

    def before_sampling(self) -> None:
        """The host made its sampler and is about to use it."""
        if self.run is not None:
            self.run.before_sampling()

    def sort_rows(self, params: Any) -> None:
        """`on_cfg_denoiser`."""
        if self.run is not None:
            self.run.sort_rows(params)

    def blend(self, args: Any) -> None:
        """`on_mask_blend`."""
        if self.run is not None:
            self.run.blend(args)

    @staticmethod
    def unsort_rows(params: Any) -> None:
        """`on_cfg_denoised`."""
        sort_by_frame(params)

    def count_frame(self) -> None:
        """One picture of the current clip is finished."""
        self.made.count_frame(self.p.iteration)

    # ---- p.sample

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        """Stands in for `p.sample`: latents [F, 4, H, W] of one clip."""
        self.takeover.loan.give_back("sample")
        self.run = ClipRun(self.p, self.made, self.p.iteration, self.said)
        try:
            return self.run.sample(*args, **kwargs)
        except BaseException:
            self.takeover.end()
            raise
        finally:
            self.run = None
