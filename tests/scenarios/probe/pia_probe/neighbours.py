"""Stand-ins for other extensions, each for the time of one request.

forward       replaces the UNet's `forward` on the instance and calls the original, as ControlNet does
append        a module more in a block of the UNet, which changes what it computes, as AnimateDiff does
wrap_sample   wraps `p.sample` on the instance in `process`, as ControlNet does
inner         an ordinary generation of its own from copy(p) inside `postprocess_image`, as ADetailer does
prompts       draws another prompt per picture in `process`, as Dynamic Prompts does
text          appends a text to the pictures of the result
other_unet    a replacement for the UNet is active, as TensorRT's
"""

from __future__ import annotations

import types
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any

import torch
from PIL import Image


class Damped(torch.nn.Module):
    def forward(self, x: Any, *args: Any) -> Any:
        return x * 0.9


class Neighbours:
    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.told: dict[str, Any] = {}

    def tell(self, name: str, value: Any) -> None:
        self.told.setdefault(name, []).append(value)

    @contextmanager
    def in_model(self, model: Any) -> Any:
        with ExitStack() as stack:
            for name in ("forward", "append", "other_unet"):
                if name in self.names:
                    stack.enter_context(getattr(self, f"_{name}")(model.model.diffusion_model))
            yield

    @contextmanager
    def _forward(self, unet: Any) -> Any:
        original = unet.forward

        def forward(module: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            self.tell("forward", len(x))
            return original(x, *args, **kwargs)

        mine = types.MethodType(forward, unet)
        unet.forward = mine
        try:
            yield
        finally:
            self.tell("forward kept", unet.forward is mine)
            del unet.forward

    @contextmanager
    def _append(self, unet: Any) -> Any:
        block, mine = unet.input_blocks[4], Damped()
        block.append(mine)
        try:
            yield
        finally:
            self.tell("append kept", block[-1] is mine)
            del block[-1]

    @contextmanager
    def _other_unet(self, unet: Any) -> Any:
        from modules import sd_unet

        before, apply = sd_unet.current_unet, sd_unet.apply_unet
        sd_unet.current_unet, sd_unet.apply_unet = object(), lambda option=None: None
        try:
            yield
        finally:
            sd_unet.current_unet, sd_unet.apply_unet = before, apply

    def hook(self, name: str, p: Any, args: tuple) -> None:
        if name == "setup" and "style" in self.names:
            self._add_style()
        if name == "process" and "wrap_sample" in self.names:
            self._wrap_sample(p)
        if name == "process" and "prompts" in self.names:
            p.all_prompts[:] = [f"{prompt} {index}" for index, prompt in enumerate(p.all_prompts)]
        if name == "postprocess_image" and "inner" in self.names and "inner" not in self.told:
            self._generate_inside(p)
        if name == "postprocess" and "text" in self.names:
            args[0].images.append("dGV4dA==")
        if name == "postprocess" and "map" in self.names:
            args[0].images.append(Image.new("RGB", (64, 64), (0, 200, 0)))

    def _add_style(self) -> None:
        from modules.shared import prompt_styles
        from modules.styles import PromptStyle

        prompt_styles.styles["pia scenario"] = PromptStyle("pia scenario", "in snow", "", None)

    def _wrap_sample(self, p: Any) -> None:
        sample = p.sample

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.tell("wrap_sample", p.batch_size)
            return sample(*args, **kwargs)

        p.sample = wrapped

    def _generate_inside(self, p: Any) -> None:
        from modules import processing

        self.told["inner"] = []
        other = copy(p)
        other.script_args = tuple(False for _ in p.script_args)
        other.batch_size = other.n_iter = 1
        other.seed = 3
        other.prompt, other.negative_prompt = "a circle", ""
        result = processing.process_images(other)
        self.tell("inner", [len(result.images), "PIA" in result.infotexts[0], list(result.images[0].size)])


@contextmanager
def lent_names(model: Any, values: dict[str, Any]) -> Any:
    """Attributes of the model (no dots), lent."""
    missing = object()
    before = {name: vars(model).get(name, missing) for name in values}
    for name, value in values.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                delattr(model, name)
            else:
                setattr(model, name, value)
