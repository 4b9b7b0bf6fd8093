"""The paper's evaluation on the miniature: `python dev.py bench animatebench [--pictures N] [--servers N] [--write]`.

Writes AnimateBench's layout from every miniature model that is there (pictures x prompts per model), makes the clips by
`python -m lib_pia.evaluation run` over HTTP on minihost, scores them by pixels, and compares with what
`bench miniature` measured, sampled in its own process by its own DDIM, of the same cases or more of them. The noise
differs (the host draws it frame by frame), so the two agree within their intervals, not to the bit. A run that was
stopped goes on in its folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from demo.miniature.net import MODELS
from lib_pia.evaluation.answer import frames_of
from lib_pia.evaluation.cli import main as evaluation
from lib_pia.evaluation.method import SHIPPED
from lib_pia.evaluation.run_folder import RunFolder
from tests.scenarios.tested import with_section

from . import miniature_score as score
from .animatebench_table import DOCUMENT, MEASURES, ROOT, SECTION, markdown_table, table_rows, text_table
from .miniature_cases import BASE, PICTURES, PROMPTS, Case, available, direction_cases, load_model, picture_of

SIZE = 64
READY = "ready: "
UNET = "model.diffusion_model."


def checkpoint_name(model: str) -> str:
    """Of its file; with the files it is made from in it, so that clips of other weights are made again."""
    files = ("miniature", "miniature_pia", *((f"miniature_{model}",) if model != BASE else ()))
    data = b"".join((MODELS / f"{name}.safetensors").read_bytes() for name in files)
    return f"{model}-{hashlib.sha256(data).hexdigest()[:8]}"


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
        table[model] = {"checkpoint": f"{checkpoint_name(model)}.safetensors", "trigger": "", "lora": ""}
    (folder / "models.yaml").write_text(yaml.safe_dump(table))


def write_method(file: Path, settings: dict) -> None:
    """The shipped method at the settings of `bench miniature`."""
    method = yaml.safe_load((SHIPPED / "pia.yaml").read_text())
    method["request"] |= {"steps": settings["steps"], "cfg_scale": settings["cfg"]}
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
        file = models / "Stable-diffusion" / checkpoint_name(name)
        save_file(tensors, file.with_suffix(".safetensors"))
        shutil.copyfile(MODELS / "miniature.yaml", file.with_suffix(".yaml"))


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
        score.coherence(frames, case.scene)["jerk"],
    ]


def over_http(run: Path, cases: dict[str, list[Case]]) -> dict[str, list[list[float]]]:
    """`MEASURES` of the finished clips, by model."""
    clips = {clip.name: clip for clip in RunFolder(run).finished()}
    found: dict[str, list[list[float]]] = {}
    for model, rows in cases.items():
        names = [f"{model}/{case.picture + 1}-{number % PROMPTS + 1}" for number, case in enumerate(rows)]
        found[model] = [measured(frames_of(clips[n].file), case) for n, case in zip(names, rows) if n in clips]
    return found


def section(rows: list[tuple[str, ...]], clips: int, options: argparse.Namespace, settings: dict) -> str:
    """What stands in docs/EVALUATION.md, as this run found it."""
    words = f"{clips} clips, {options.pictures} pictures x {PROMPTS} prompts per model"
    how = f"DDIM, {settings['steps']} steps, CFG {settings['cfg']:g}, magnitude large"
    command = f"python dev.py bench animatebench --pictures {options.pictures} --servers {options.servers}"
    return f"`{command}`: {words}; {how}.\n\n{markdown_table(rows)}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench animatebench", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2, help=f"per model, {PICTURES} at most (default: %(default)s)")
    parser.add_argument("--scores", type=Path, default=MODELS / "scores.json", help="of `bench miniature`")
    parser.add_argument("--servers", type=int, default=2, help="minihosts that share the clips (default: %(default)s)")
    parser.add_argument(
        "--models", nargs="*", default=available(), help="of the miniature (default: all that there are)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench-animatebench"), help="a run that was stopped goes on in it"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return 0
    reference = json.loads(options.scores.read_text())
    cases = {model: direction_cases(model, options.pictures) for model in options.models}
    bench, run, method = options.out / "bench", options.out / "run", options.out / "method.yaml"
    bench.mkdir(parents=True, exist_ok=True)
    write_bench(bench, cases)
    write_method(method, reference["settings"])
    with Servers(options.out, options.servers) as addresses:
        urls = [part for url in addresses for part in ("--url", url)]
        command = ["run", "--bench", str(bench), "--out", str(run), "--method", str(method), "--size", str(SIZE)]
        code = evaluation([*command, "--seed", "1000", *urls])
    http = {model: rows for model, rows in over_http(run, cases).items() if rows}
    rows, clips = table_rows(http, reference["models"]), sum(map(len, http.values()))
    (options.out / "scores.json").write_text(json.dumps({"measures": [m.name for m in MEASURES], "http": http}))
    (options.out / "table.txt").write_text(f"{text_table(rows)}\n")
    sys.stdout.write(f"{text_table(rows)}\n{clips} clips over HTTP on {options.servers} minihosts.\n")
    if options.write and not code:
        text = section(rows, clips, options, reference["settings"])
        DOCUMENT.write_text(with_section(DOCUMENT.read_text(encoding="utf-8"), SECTION, text), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
