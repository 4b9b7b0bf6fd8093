"""Clips and pictures asked of a host over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from .client import Host
from .pictures import encoded, picture, pixels

TITLE = "Animate (PIA)"
PROBE = "PIA probe"
BASE = {
    "prompt": "a red star",
    "negative_prompt": "blurry",
    "seed": 1,
    "subseed": 1,
    "steps": 2,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "cfg_scale": 7.0,
}
HIRES = {"enable_hr": True, "hr_scale": 2.0, "denoising_strength": 0.6}
STILLS = {  # requests of a picture whose clip starts from that very picture
    "Euler": {},
    "Brownian": {"sampler_name": "DPM++ 2M SDE"},
    "ancestral, variation": {"sampler_name": "Euler a", "subseed": 9, "subseed_strength": 0.3},
    "hires latent": {**HIRES, "hr_upscaler": "Latent"},
    "hires Lanczos": {**HIRES, "hr_upscaler": "Lanczos"},
}
MANY_FIELDS = {  # settings of which none is the default
    "num_frames": 6,
    "fps": 12,
    "motion": "loop",
    "magnitude": "large",
    "condition_frame": -2,
    "start_from": "image",
    "color_match": 0.35,
    "loop_count": 2,
    "ping_pong": True,
    "interpolate": 1,
    "fast": 3,
}


def scripts(settings: dict[str, Any] | None, probe: dict[str, Any] | None) -> dict[str, Any]:
    """The scripts of a request; a clip has 4 frames and comes as PNG unless `settings` says otherwise."""
    out: dict[str, Any] = {TITLE: {"args": [{"num_frames": 4, "formats": ["png"], **(settings or {})}]}}
    if probe is not None:
        out[PROBE] = {"args": [probe]}
    return out


def animate(host: Host, settings: dict[str, Any] | None = None, probe: dict[str, Any] | None = None, **request: Any):
    """img2img's answer for a clip of `picture()`."""
    start = {**BASE, "init_images": [encoded(picture())], "denoising_strength": 0.6}
    return host.generate("img2img", {**start, "alwayson_scripts": scripts(settings, probe), **request})


def animate_text(
    host: Host, settings: dict[str, Any] | None = None, probe: dict[str, Any] | None = None, **request: Any
):
    """txt2img's answer for a clip."""
    return host.generate("txt2img", {**BASE, "alwayson_scripts": scripts(settings, probe), **request})


def still(host: Host, **request: Any) -> bytes:
    """The pixels of an ordinary txt2img picture."""
    return pixels(host.generate("txt2img", {**BASE, "seed": 5, **request})["images"][0])


def latents(host: Host, settings: dict[str, Any] | None = None, how=animate, **request: Any) -> np.ndarray:
    """The latents of a clip, [F, 4, H, W]."""
    how(host, settings, {"latents": True}, **request)
    return unpacked(host.probed()["latents"][-1])


def unpacked(told: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(told["float32"]), np.float32).reshape(told["shape"])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative L2 error of a against b."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def model(name: str) -> dict[str, Any]:
    """The part of a request that chooses a checkpoint for it alone."""
    return {"override_settings": {"sd_model_checkpoint": name}}
