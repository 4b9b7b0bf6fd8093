"""The paper's evaluation on the miniature: `python dev.py bench animatebench [--pictures N] [--servers N] [--out DIR]`.

Writes AnimateBench's layout from the miniature's models (pictures x prompts per model), makes the clips by
`python -m lib_pia.evaluation run` over HTTP on minihost, scores them by pixels, and compares with the same cases made
in this process by the bench's own DDIM sampler. The noise differs (the host draws it frame by frame), so the two agree
within their intervals, not to the bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from demo.miniature.net import MODELS
from demo.miniature.sample import Sampling
from lib_pia.checkpoint import load_pia_model
from lib_pia.evaluation.answer import frames_of
from lib_pia.evaluation.cli import main as evaluation
from lib_pia.evaluation.intervals import Estimate, bootstrap_mean
from lib_pia.evaluation.method import SHIPPED
from lib_pia.evaluation.run_folder import RunFolder

from . import miniature_score as score
from .miniature_cases import PICTURES, Case, available, direction_cases, load_model, make_clips, picture_of

SIZE, STEPS = 64, 25
READY = "ready: "
UNET = "model.diffusion_model."
MEASURES = {"alignment, %": 100, "direction, %": 100, "condition frame, dB": 1, "displacement, px": 1, "jerk, px": 1}


def write_bench(folder: Path, cases: dict[str, list[Case]]) -> None:
    """configs/, img/ and models.yaml in AnimateBench's layout."""
    table = {}
    for model, rows in cases.items():
        (folder / "img" / model).mkdir(parents=True, exist_ok=True)
        prompts: dict[int, list[str]] = {}
        for case in rows:
            prompts.setdefault(case.picture, []).append(case.text)
            Image.fromarray(picture_of(case.scene).numpy()).save(folder / "img" / model / f"{case.picture + 1}.png")
        config = {"base": "none", "prompts": list(prompts.values()), "n_prompt": [""] * len(prompts)}
        config["validation_data"] = {"input_name": model, "validation_input_path": "img"}
        (folder / "configs").mkdir(exist_ok=True)
        (folder / "configs" / f"{model}.yaml").write_text(yaml.safe_dump(config))
        table[model] = {"checkpoint": f"{model}.safetensors", "trigger": "", "lora": ""}
    (folder / "models.yaml").write_text(yaml.safe_dump(table))


def write_method(file: Path, scale: float) -> None:
    """The shipped method at the miniature's guidance and magnitude."""
    method = yaml.safe_load((SHIPPED / "pia.yaml").read_text())
    method["request"] |= {"steps": STEPS, "cfg_scale": scale}
    method["request"]["alwayson_scripts"]["Animate (PIA)"]["args"][0]["magnitude"] = "large"
    file.write_text(yaml.safe_dump(method))


class Servers:
    """minihost with the miniature, in processes of their own."""

    def __init__(self, folder: Path, count: int) -> None:
        self.processes = []
        for number in range(count):
            command = [sys.executable, "-m", "tests.bench.animatebench", "--serve", str(folder / f"host{number}")]
            with (folder / f"host{number}.log").open("w") as log:
                self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True))

    def __enter__(self) -> list[str]:
        """Their addresses, once each of them says that it is ready."""
        return [self._address(process) for process in self.processes]

    @staticmethod
    def _address(process: subprocess.Popen) -> str:
        for line in process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
        raise RuntimeError("minihost did not start; see its log in --out")

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def place_checkpoints(models: Path) -> None:
    """A whole checkpoint per model, its LoRA merged, as AnimateBench has them; and the PIA model."""
    base = load_file(MODELS / "miniature.safetensors")
    for kind in ("Stable-diffusion", "PIA"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(MODELS / "miniature_pia.safetensors", models / "PIA" / "miniature_pia.safetensors")
    for name in available():
        unet = {f"{UNET}{key}": value for key, value in load_model(name).unet.state_dict().items()}
        assert unet.keys() == {key for key in base if key.startswith(UNET)}
        tensors = {key: unet.get(key, value).to(value.dtype).contiguous() for key, value in base.items()}
        save_file(tensors, models / "Stable-diffusion" / f"{name}.safetensors")
        shutil.copyfile(MODELS / "miniature.yaml", models / "Stable-diffusion" / f"{name}.yaml")


def serve(folder: Path) -> None:
    from demo.minihost import start

    torch.set_num_threads(1)
    place_checkpoints(folder / "models")
    host = start(folder, extensions=[Path(__file__).resolve().parents[2]])
    sys.stdout.write(f"{READY}{host.launch(block=False)}\n")
    sys.stdout.flush()
    host.wait()


def measured(frames: np.ndarray, case: Case) -> list[float]:
    """`MEASURES` of one clip."""
    path = score.track(frames, case.scene)
    return [
        score.alignment(frames, case.scene)["all"],
        float(score.direction(path) == case.direction),
        score.psnr(frames[0], picture_of(case.scene).numpy()),
        score.mean_displacement(path),
        score.coherence(frames, case.scene)["jerk"],
    ]


def in_process(model: str, pictures: int, scale: float) -> list[list[float]]:
    """The same cases by the bench's own sampler."""
    torch.set_num_threads(1)
    cases = direction_cases(model, pictures)
    pia = load_pia_model(MODELS / "miniature_pia.safetensors", dtype=torch.float32)
    clips = make_clips(load_model(model, MODELS), pia, cases, Sampling(STEPS, scale))
    return [measured(clip, case) for clip, case in zip(clips, cases)]


def over_http(run: Path, cases: dict[str, list[Case]]) -> dict[str, list[list[float]]]:
    clips = {clip.name: clip for clip in RunFolder(run).finished()}
    return {
        model: [measured(frames_of(clips[f"{model}/{c.picture + 1}-{i % 3 + 1}"].file), c) for i, c in enumerate(rows)]
        for model, rows in cases.items()
    }


def agrees(a: Estimate, b: Estimate) -> bool:
    """Whether the difference is within both intervals' noise (the half-widths added in quadrature)."""
    noise = np.hypot(a.high - a.low, b.high - b.low) / 2
    return abs(a.value - b.value) <= max(noise, 1e-9)


def text_table(http: dict[str, list], inside: dict[str, list]) -> str:
    """A block per model and one of all: what was measured, over HTTP and in process, with 95 % intervals."""
    lines = [f"{'model':10} {'measure':20} {'over HTTP':24} {'in process':24} agree"]
    everything = {"all": (sum(http.values(), []), sum(inside.values(), []))}
    for model, (a, b) in ({name: (http[name], inside[name]) for name in http} | everything).items():
        for column, (name, factor) in enumerate(MEASURES.items()):
            left, right = (bootstrap_mean([row[column] * factor for row in rows]) for rows in (a, b))
            mark = "yes" if agrees(left, right) else "NO"
            lines.append(f"{model:10} {name:20} {left.shown(1):24} {right.shown(1):24} {mark}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench animatebench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pictures", type=int, default=PICTURES, help="condition pictures per model (default: %(default)s)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="classifier-free guidance (default: %(default)s)")
    parser.add_argument("--servers", type=int, default=2, help="minihosts that share the clips (default: %(default)s)")
    parser.add_argument(
        "--models", nargs="*", default=available(), help="of the miniature (default: all that there are)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench-animatebench"), help="a run that was stopped goes on in it"
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return 0
    cases = {model: direction_cases(model, options.pictures) for model in options.models}
    bench, run, method = options.out / "bench", options.out / "run", options.out / "method.yaml"
    bench.mkdir(parents=True, exist_ok=True)
    write_bench(bench, cases)
    write_method(method, options.scale)
    started = time.monotonic()
    with Servers(options.out, options.servers) as addresses:
        urls = [part for url in addresses for part in ("--url", url)]
        command = ["run", "--bench", str(bench), "--out", str(run), "--method", str(method), "--size", str(SIZE)]
        code = evaluation([*command, "--seed", "1000", *urls])
    if code:
        return code
    made = time.monotonic() - started
    with ProcessPoolExecutor(options.servers) as pool:
        jobs = {model: pool.submit(in_process, model, options.pictures, options.scale) for model in cases}
        inside = {model: job.result() for model, job in jobs.items()}
    http = over_http(run, cases)
    table = text_table(http, inside)
    (options.out / "scores.json").write_text(
        json.dumps({"measures": list(MEASURES), "http": http, "in_process": inside})
    )
    (options.out / "table.txt").write_text(table + "\n")
    clips = sum(map(len, cases.values()))
    sys.stdout.write(f"{table}\n{clips} clips over HTTP on {options.servers} minihosts in {made / 60:.1f} minutes.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
