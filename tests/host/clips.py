"""What the host tests share: short clips by the API, and how to look at what comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tests.scenarios.pictures import frames, moving, opened, pixels  # noqa: F401

TITLE = "Animate (PIA)"
SIZE = 64
SAMPLER_KINDS = (  # one of each way in which the host samples; tests/scenarios/test_samplers.py has them all
    "Euler a", "Heun", "DPM2", "DPM++ SDE", "DPM++ 2M SDE", "Restart", "LCM", "DDIM", "PLMS", "UniPC",
)  # fmt: skip


def picture(width: int = SIZE, height: int = SIZE) -> Image.Image:
    """A gradient with a square in it: the same bytes every time."""
    y, x = np.mgrid[0:height, 0:width]
    values = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 128)], axis=-1).astype(np.uint8)
    values[height // 4 : height // 2, width // 4 : width // 2] = (255, 30, 30)
    return Image.fromarray(values)


def pia(settings: dict | None = None, **more) -> dict:
    """The part of a request that asks for a clip; 4 frames as PNG unless told otherwise."""
    return {"alwayson_scripts": {TITLE: {"args": [{"num_frames": 4, "formats": ["png"], **(settings or {}), **more}]}}}


BASE = {
    "prompt": "a cat",
    "negative_prompt": "blurry",
    "seed": 1,
    "steps": 2,
    "width": SIZE,
    "height": SIZE,
    "sampler_name": "Euler",
    "cfg_scale": 7.0,
}


def animate(host, settings: dict | None = None, image: Image.Image | None = None, **request) -> dict:
    """img2img's answer for a clip."""
    images = [host.base64(image or picture())]
    return host.img2img(**{**BASE, "init_images": images, "denoising_strength": 0.6, **pia(settings), **request})


def animate_text(host, settings: dict | None = None, **request) -> dict:
    """txt2img's answer for a clip."""
    return host.txt2img(**{**BASE, **pia(settings), **request})


def still(host, **request) -> bytes:
    """The pixels of an ordinary txt2img picture."""
    return pixels(host.txt2img(**{**BASE, "seed": 5, **request})["images"][0])


class Watcher:
    """A script beside PIA that remembers latents and lets a test do something at a point of the generation."""

    def __new__(cls, host):
        class Script(host.scripts.Script):
            def __init__(self):
                self.latents, self.hooks = [], {}

            def title(self):
                return "Watcher"

            def show(self, is_img2img):
                return host.scripts.AlwaysVisible

            def process_batch(self, p, *args, **kwargs):
                self.hooks.get("process_batch", lambda p: None)(p)

            def process(self, p, *args):
                self.hooks.get("process", lambda p: None)(p)

            def post_sample(self, p, ps, *args):
                self.latents.append(ps.samples)

            def postprocess_image(self, p, pp, *args):
                self.hooks.get("postprocess_image", lambda p: None)(p)

        return Script()


@contextlib.contextmanager
def watching(host, usual: dict | None = None, **defaults) -> Iterator[Callable]:
    """latents(settings, clip, options, **request) -> the latents of a clip; what is not said is as given here."""
    watcher = Watcher(host)

    def latents(settings=None, clip=animate, options=None, **request):
        override = {"override_settings": options} if options else {}
        clip(host, {**(usual or {}), **(settings or {})}, **{**defaults, **request, **override})
        return watcher.latents[-1]

    with host.script(watcher):
        yield latents


def distance(a, b) -> float:
    """Relative L2 error of a against b."""
    return float((a - b).norm() / b.norm())
