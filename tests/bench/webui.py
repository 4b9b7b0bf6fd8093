"""`python dev.py bench webui --url URL`: what a clip costs in a running WebUI, at SD1.5's width with random weights.

CPU seconds of the WebUI's process for one more step, and the highest memory of the whole request, for 16 ordinary
pictures, a clip, a clip with `fast` 3, one with a second pass at twice the size and, where it is installed,
sd-webui-animatediff: in turn, round after round, so that the rounds' ratios can be compared. The WebUI runs on this
machine (Linux) with --api.

`--make WEBUI_FOLDER` writes what it needs there: checkpoint `wide` (start the WebUI with it), PIA model `wide_pia`,
text encoder `models/wide_clip` (copied from `models/miniature_clip`, which `python -m demo.miniature.webui` writes) and
AnimateDiff's `mm_sd15_v3`; 5.2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

from demo.miniature.net import MODELS, text_config
from demo.miniature.webui import TEXT_FOLDER
from lib_pia.model import official_state_dict
from tests.host.clips import BASE, TITLE, picture
from tests.scenarios.pictures import encoded

from .clip import memory, wide_models

FRAMES = 16
WIDE_TEXT = text_config(768) | {"num_attention_heads": 12}
WIDE = {  # miniature.yaml -> SD1.5's sizes (v1-inference.yaml)
    "model_channels: 64": "model_channels: 320", "channel_mult: [ 1, 1, 1, 1 ]": "channel_mult: [ 1, 2, 4, 4 ]",
    "num_heads: 4": "num_heads: 8", "context_dim: 64": "context_dim: 768", "miniature_clip": "wide_clip",
}  # fmt: skip
ANIMATEDIFF = {
    "model": "mm_sd15_v3.safetensors", "enable": True, "video_length": FRAMES, "batch_size": FRAMES, "format": ["GIF"],
    "closed_loop": "N",
}  # fmt: skip


def make(webui: Path) -> None:
    """Random weights: of the UNet and PIA normal with 0.02, the miniature's VAE, a text encoder as it is drawn."""
    from transformers import CLIPTextConfig, CLIPTextModel

    unet, pia = wide_models()
    text = CLIPTextModel(CLIPTextConfig(**WIDE_TEXT)).state_dict()
    tensors = {name: t for name, t in load_file(MODELS / "miniature.safetensors").items() if "first_stage" in name}
    tensors |= {f"model.diffusion_model.{name}": t.half() for name, t in unet.state_dict().items()}
    prefix = "cond_stage_model.transformer.text_model."
    tensors |= {prefix + name.removeprefix("text_model."): t.half() for name, t in text.items()}
    motion = official_state_dict(pia)
    animatediff = {name: t for name, t in motion.items() if "motion_modules" in name}
    for tensors_of, place in (
        (tensors, "models/Stable-diffusion/wide.safetensors"),
        (motion, "models/PIA/wide_pia.safetensors"),
        (animatediff, "extensions/sd-webui-animatediff/model/mm_sd15_v3.safetensors"),
    ):
        if (webui / place).parent.parent.exists():
            (webui / place).parent.mkdir(exist_ok=True)
            save_file({name: t.contiguous() for name, t in tensors_of.items()}, webui / place)
    layout = (MODELS / "miniature.yaml").read_text()
    for narrow, wide in WIDE.items():
        layout = layout.replace(narrow, wide)
    (webui / "models/Stable-diffusion/wide.yaml").write_text(layout)
    folder = shutil.copytree(webui / TEXT_FOLDER, webui / "models/wide_clip", dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text()) | WIDE_TEXT
    (folder / "config.json").write_text(json.dumps(config))


class Process:
    """The WebUI's process, by the port that it listens at."""

    def __init__(self, url: str) -> None:
        self.url, port = url.rstrip("/"), f"{int(url.rsplit(':', 1)[1].strip('/')):04X}"
        sockets = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{port} 00" in line}
        self.folder = next(p.parents[1] for p in Path("/proc").glob("[0-9]*/fd/*") if _inode(p) in sockets)

    def cpu(self) -> float:
        """Seconds so far."""
        fields = (self.folder / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measured(self, kind: str, steps: int, size: int) -> tuple[float, float]:
        """CPU seconds of one request, and the highest memory in it, GiB."""
        memory(reset=True, process=self.folder)
        before = self.cpu()
        body = json.dumps(request(kind, steps, size)).encode()
        call = urllib.request.Request(f"{self.url}/sdapi/v1/img2img", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(call, timeout=3600).close()
        return self.cpu() - before, memory(reset=False, process=self.folder)

    def more(self, kind: str, size: int) -> tuple[float, float]:
        """CPU seconds of one more step (with `fast`: the mean of as many as it takes in turn), and peak memory."""
        extra = KINDS[kind].get("fast", 1)
        (one, first), (all_, second) = (self.measured(kind, steps, size) for steps in (1, 1 + extra))
        return (all_ - one) / extra, max(first, second)


def _inode(path: Path) -> str:
    try:
        return os.readlink(path).removeprefix("socket:[").rstrip("]")
    except OSError:
        return ""


KINDS: dict[str, dict] = {
    "pictures": {},
    "clip": {"num_frames": FRAMES},
    "fast": {"num_frames": FRAMES, "fast": 3},
    "hires": {"num_frames": FRAMES, "hires_scale": 2, "hires_strength": 0.999},
    "animatediff": ANIMATEDIFF,
}


def request(kind: str, steps: int, size: int) -> dict:
    body = {**BASE, "steps": steps, "width": size, "height": size, "sampler_name": "Euler a"}
    body |= {"init_images": [encoded(picture(size, size))], "denoising_strength": 0.999}
    if kind == "pictures":
        return body | {"batch_size": FRAMES}
    if kind == "animatediff":
        return body | {"alwayson_scripts": {"AnimateDiff": {"args": [KINDS[kind]]}}}
    settings = {"model": "wide_pia.safetensors", "formats": ["gif"], **KINDS[kind]}
    return body | {"alwayson_scripts": {TITLE: {"args": [settings]}}}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench webui", description=__doc__.splitlines()[0])
    parser.add_argument("--make", type=Path, metavar="WEBUI_FOLDER", help="write the random weights, and end")
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args(argv)
    if options.make:
        make(options.make)
        return 0
    say: Callable[[str], int] = sys.stdout.write
    process, ratios = Process(options.url), {kind: [] for kind in options.kinds}
    for kind in options.kinds:  # whatever is loaded once
        _, peak = process.measured(kind, 1, options.size)
        say(f"{options.size} px, {kind} for the first time: peak {peak:.2f} GiB\n")
    for number in range(options.rounds):
        found = {kind: process.more(kind, options.size) for kind in options.kinds}
        for kind, (seconds, _) in found.items():
            ratios[kind].append(seconds / found[options.kinds[0]][0])
        told = (f"{kind} {seconds:.2f} s, peak {peak:.2f} GiB" for kind, (seconds, peak) in found.items())
        say(f"{options.size} px, round {number + 1}: {'; '.join(told)}\n")
        sys.stdout.flush()
    for kind, values in ratios.items():
        say(f"{kind} / {options.kinds[0]}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
