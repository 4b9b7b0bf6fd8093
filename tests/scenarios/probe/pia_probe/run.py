"""One request under the probe: what happens in it, in order, and what it was asked to disturb."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from modules import sd_samplers

from . import faults, neighbours, seen

ATTRIBUTE = "pia_probe_run"
HOOKS = (
    "setup before_process process before_process_batch after_extra_networks_activate process_batch "
    "process_before_every_sampling on_mask_blend post_sample postprocess_batch postprocess_batch_list "
    "postprocess_image postprocess_maskoverlay postprocess_image_after_composite before_hr postprocess"
).split()

current: list[Run] = []  # the request that is running, at most one
last: dict[str, Any] = {"number": 0, "events": []}  # what GET /pia-probe/record answers
_numbers = itertools.count(1)


def run_of(p: Any) -> Run | None:
    """The run bound to `p` or to what `p` was copied from, while it lasts."""
    bound = vars(p).get(ATTRIBUTE)
    return bound if bound is not None and bound in current else None


def begin(p: Any, asked: dict[str, Any]) -> None:
    for leftover in tuple(current):
        leftover.end()
    Run(p, asked)


def callback(name: str, params: Any) -> None:
    if current and current[-1].recording:
        current[-1].note(name, seen.of_callback(name, params))


class Run:
    """Bound to the processing object of one request until the host closes it.

    asked: `record` (bool), `fault` (one object or a list of them, see `faults`), `neighbours` (names, see
    `neighbours`), `lend` (attributes of the model, set for the time of the request), `latents` (keep them whole).
    """

    def __init__(self, p: Any, asked: dict[str, Any]) -> None:
        self.p, self.asked = p, asked
        self.recording = bool(asked.get("record"))
        self.events: list[list[Any]] = []
        self.before: dict[str, Any] = {}
        self.entered = False
        self.latents: list[dict[str, Any]] = []
        self.stack = ExitStack()
        wanted = asked.get("fault") or []
        self.faults = faults.Faults(wanted if isinstance(wanted, list) else [wanted])
        self.neighbours = neighbours.Neighbours(asked.get("neighbours") or [])
        setattr(p, ATTRIBUTE, self)
        current.append(self)
        close = p.close

        def closing() -> None:
            self.end()
            close()

        p.close = closing
        if self.recording:
            torch.manual_seed(0)  # img2img's encoder draws from torch's global random numbers
        if self.recording or self.faults.wanted:
            self._watch_methods()

    def end(self) -> None:
        if self in current:
            current.remove(self)
            self.stack.close()
            vars(self.p).pop("close", None)
            last.update(
                number=next(_numbers), events=self.events, latents=self.latents, neighbours=self.neighbours.told
            )

    # ---- what is recorded

    def note(self, kind: str, details: dict[str, Any] | None = None, p: Any = None) -> None:
        """One event; of `p` only what has changed since the last one."""
        if not self.recording:
            return
        event: list[Any] = [kind, details or {}]
        if p is not None:
            now = seen.of_p(p)
            event.append({name: value for name, value in now.items() if self.before.get(name, ...) != value})
            self.before = now
        self.events.append(event)

    def hook(self, name: str, p: Any, args: tuple, kwargs: dict) -> None:
        if self.recording:
            self.note(name, seen.of_hook(name, args, kwargs), p)
        if name == "post_sample" and self.asked.get("latents"):
            self.latents.append(seen.packed(args[0].samples))
        if name == "process" and not self.entered:
            self.entered = True
            self._watch_model(p)
        self.neighbours.hook(name, p, args)
        self.faults.reach(name)

    def _watch_methods(self) -> None:
        """`p.init`, `p.sample` and `p.setup_conds`, noted before and after."""
        p = self.p
        for name in ("init", "setup_conds", "sample"):
            self.stack.enter_context(_replaced(p, name, self._noted(name, getattr(p, name), p)))
        self.stack.enter_context(
            _replaced(sd_samplers, "create_sampler", self._create_sampler(sd_samplers.create_sampler))
        )
        self.stack.enter_context(self.faults.files())

    def _watch_model(self, p: Any) -> None:
        """The UNet's and the VAE's calls. The model is known from `process` on."""
        model = p.sd_model
        self.stack.enter_context(neighbours.lent_names(model, self.asked.get("lend") or {}))
        self.stack.enter_context(self.neighbours.in_model(model))
        if not (self.recording or self.faults.wanted):
            return
        unet, vae = model.model.diffusion_model, model.first_stage_model
        self.stack.enter_context(_removed(unet.register_forward_pre_hook(self._unet, with_kwargs=True)))
        for name in ("encode", "decode"):
            self.stack.enter_context(_replaced(vae, name, self._noted(name, getattr(vae, name), None)))

    def _unet(self, module: Any, args: tuple, kwargs: dict) -> None:
        if self.recording:
            given = dict(zip(("x", "timesteps", "context"), args), **kwargs)
            self.note("unet", seen.of_unet(given["x"], given["timesteps"], given["context"]))
        self.faults.reach("unet")

    def _noted(self, name: str, original: Any, p: Any) -> Any:
        def noted(*args: Any, **kwargs: Any) -> Any:
            first = {"x": list(args[0].shape)} if args and hasattr(args[0], "shape") else {}
            self.note(name, first, p)
            self.faults.reach(name)
            result = original(*args, **kwargs)
            if p is not None:
                self.note(f"{name} done", None, p)
            return result

        return noted

    def _create_sampler(self, create: Any) -> Any:
        def created(name: str, model: Any) -> Any:
            sampler = create(name, model)
            if self.recording:
                self.note("create_sampler", {"name": name, "alphas": seen.summary(model.alphas_cumprod)})
                for method in ("sample", "sample_img2img"):
                    setattr(sampler, method, self._sampling(method, getattr(sampler, method)))
                if hasattr(sampler, "get_sigmas"):
                    sampler.get_sigmas = self._sigmas(sampler.get_sigmas)
            self.faults.reach("create_sampler")
            return sampler

        return created

    def _sampling(self, method: str, original: Any) -> Any:
        def sampling(p: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            given = {"steps": kwargs.get("steps"), "x": seen.summary(x)}
            if method == "sample_img2img" and args:
                given["noise"] = seen.summary(args[0])
            self.note(method, given, p)
            return original(p, x, *args, **kwargs)

        return sampling

    def _sigmas(self, original: Any) -> Any:
        def sigmas(p: Any, steps: int) -> Any:
            table = original(p, steps)
            self.note("sigmas", {"steps": steps, "table": [seen.number(value) for value in table.tolist()]})
            return table

        return sigmas


@contextmanager
def _replaced(target: Any, name: str, value: Any) -> Any:
    """`target.name` is `value` inside the block, unless somebody else has put something over it by then."""
    missing = object()
    before = vars(target).get(name, missing)
    setattr(target, name, value)
    try:
        yield
    finally:
        if vars(target).get(name) is value:
            if before is missing:
                delattr(target, name)
            else:
                setattr(target, name, before)


@contextmanager
def _removed(handle: Any) -> Any:
    try:
        yield
    finally:
        handle.remove()
