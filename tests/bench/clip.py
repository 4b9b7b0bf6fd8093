"""`python dev.py bench clip`: where the CPU time and the memory of a clip go, on minihost; and the same number of
ordinary pictures beside it.

Per phase: CPU seconds of this process and of ffmpeg, the phase's own (what runs inside it and has a row of its own is
not counted twice), and the highest memory seen in it. `--full` takes a random UNet and PIA model of SD1.5's width (6 GB
of disk, 12 GB of memory).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lib_pia.model import PIAModel, official_state_dict
from tests import tiny_models
from tests.host.clips import BASE, TITLE, picture

FORMATS = ["gif", "mp4", "webp", "webm", "apng", "png"]
GOAL = 2.0  # per cent of a clip that everything but sampling, decoding and encoding of formats may take


def cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def memory(reset: bool, process: Path = Path("/proc/self")) -> float:
    """Peak resident memory in GiB of a process since the last reset; Linux only, else 0."""
    try:
        peak = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
        if reset:
            (process / "clear_refs").write_text("5")
    except OSError:
        return 0.0
    return int(peak.split()[1]) / 2**20


@dataclasses.dataclass
class Row:
    seconds: float = 0.0
    calls: int = 0
    peak: float = 0.0  # GB


class Meter:
    """Own CPU time of nested phases."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._stack: list[str] = []
        self._since = cpu()

    def _charge(self) -> None:
        now = cpu()
        if self._stack:
            row = self.rows[self._stack[-1]]
            row.seconds += now - self._since
            row.peak = max(row.peak, memory(reset=True))
        self._since = cpu()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._charge()
        self.rows.setdefault(name, Row()).calls += 1
        self._stack.append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def wrapped(self, name: str, function: Callable) -> Callable:
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return measured


@contextlib.contextmanager
def measured_host(host: Any, meter: Meter) -> Iterator[None]:
    """The host and the extension with a clock at every phase."""
    from modules import processing, sd_samplers_common

    from lib_pia.host import models
    from lib_pia.video import encode as video

    model = host.shared.sd_model
    points = [
        (models, "load_pia_model", "PIA model: load"),
        (model, "encode_first_stage", "condition encode"),
        (sd_samplers_common.Sampler, "_run", "sampling"),
        (processing, "decode_latent_batch", "decode"),
    ]
    with contextlib.ExitStack() as stack:
        for target, name, phase in points:
            before, own = getattr(target, name), name in vars(target)
            setattr(target, name, meter.wrapped(phase, before))
            stack.callback(setattr, target, name, before) if own else stack.callback(delattr, target, name)
        for name, kind in list(video.FORMAT.items()):
            write = kind.write or video.write_png
            if kind.write is not None:
                video.FORMAT[name] = dataclasses.replace(kind, write=meter.wrapped(f"format {name}", write))
            stack.callback(video.FORMAT.__setitem__, name, kind)
        before = video.write_png
        video.write_png = meter.wrapped("format png", before)
        stack.callback(setattr, video, "write_png", before)
        yield


def run(host: Any, frames: int, steps: int, formats: list[str] | None) -> Meter:
    """One img2img request: a clip in `formats`, or without them `frames` ordinary pictures in one batch."""
    meter = Meter()
    request = {**BASE, "steps": steps, "init_images": [host.base64(picture())], "denoising_strength": 0.999}
    if formats is None:
        request["batch_size"] = frames
    else:
        request["alwayson_scripts"] = {TITLE: {"args": [{"num_frames": frames, "formats": formats}]}}
    with measured_host(host, meter), meter.phase("everything else"):
        host.img2img(**request)
    return meter


def table(title: str, meter: Meter, steps: int) -> float:
    """Prints the phases; returns the per cent that is everything else."""
    total = sum(row.seconds for row in meter.rows.values())
    print(f"\n{title}: {total:.2f} CPU s")
    print(f"{'phase':24}{'calls':>6}{'CPU s':>9}{'%':>7}{'peak GB':>9}")
    for name, row in sorted(meter.rows.items(), key=lambda item: item[0] == "everything else"):
        print(f"{name:24}{row.calls:6}{row.seconds:9.3f}{100 * row.seconds / total:7.1f}{row.peak:9.2f}")
    if "sampling" in meter.rows:
        print(f"{'sampling per step':24}{steps:6}{meter.rows['sampling'].seconds / steps:9.3f}")
    own = sum(
        meter.rows[name].seconds
        for name in ("everything else", "condition encode", "PIA model: load")
        if name in meter.rows
    )
    return 100 * own / total


def wide_models() -> tuple[torch.nn.Module, PIAModel]:
    """A UNet and a PIA model of SD1.5's width with random weights."""
    torch.manual_seed(0)
    unet, model = tiny_models.build_unet(width=320, context_dim=768), PIAModel()
    for parameter in (*unet.parameters(), *model.parameters()):
        parameter.data.normal_(0, 0.02)
    return unet, model


def write_models(folder: Path, full: bool) -> None:
    checkpoint = tiny_models.ldm_checkpoint()
    motion, layout = tiny_models.official_pia(), tiny_models.layout()
    if full:
        unet, model = wide_models()
        checkpoint = {key: value for key, value in checkpoint.items() if key.startswith("first_stage_model.")}
        checkpoint.update({f"model.diffusion_model.{key}": value for key, value in unet.state_dict().items()})
        motion, layout = official_state_dict(model), tiny_models.layout(320, 768)
    for kind, name, tensors in (("Stable-diffusion", "bench", checkpoint), ("PIA", "bench", motion)):
        path = folder / "models" / kind / f"{name}.safetensors"
        path.parent.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    path.parent.with_name("Stable-diffusion").joinpath("bench.yaml").write_text(layout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--full", action="store_true", help="SD1.5's width with random weights")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder), asked.full)
        from demo.minihost import start

        host = start(folder, extensions=[Path(__file__).resolve().parents[2]])
        host.txt2img(**{**BASE, "steps": 1})  # what the host itself does once
        print(
            f"{asked.frames} frames of 64x64, {asked.steps} steps of Euler, CFG 7, "
            f"{'full width' if asked.full else 'tiny'} random model"
        )
        first = run(host, asked.frames, asked.steps, ["gif", "mp4"])
        table("first clip (gif, mp4)", first, asked.steps)
        second = run(host, asked.frames, asked.steps, ["gif", "mp4"])
        other = table("second clip (gif, mp4)", second, asked.steps)
        table("clip in every format", run(host, asked.frames, asked.steps, FORMATS), asked.steps)
        pictures = run(host, asked.frames, asked.steps, None)
        table(f"{asked.frames} ordinary pictures in one batch", pictures, asked.steps)
    ratio = second.rows["sampling"].seconds / pictures.rows["sampling"].seconds
    print(
        f"\nVAE encodes per clip: {second.rows['condition encode'].calls} (ordinary pictures: "
        f"{pictures.rows['condition encode'].calls})"
    )
    print(f"model loads in the second clip: {second.rows.get('PIA model: load', Row()).calls}")
    print(f"not sampling, decoding or a format: {other:.2f} % of the second clip (goal: under {GOAL:g} %)")
    print(f"sampling, clip / ordinary pictures: {ratio:.2f}")


if __name__ == "__main__":
    main()
