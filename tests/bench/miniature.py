"""Scores of the miniature against the paper's claims: `python dev.py bench miniature [--pictures N] [--ablations DIR] [--out DIR]`.

Makes the clips, measures them from pixels, prints one table, writes scores.json and sheet.png. All clips come from fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demo.miniature.net import MODELS
from demo.miniature.pia import ABLATIONS
from demo.miniature.sample import Sampling, decode, encode_picture
from lib_pia.checkpoint import load_pia_model
from lib_pia.training import AffinityScale

from . import miniature_score as score
from .miniature_cases import (
    BASE,
    PICTURES,
    available,
    direction_cases,
    load_model,
    loop_cases,
    magnitude_cases,
    make_clips,
    motion_only,
    picture_of,
    scene_of,
    style_cases,
)
from .miniature_table import WITH, WITHOUT, rows_of, text_table

TRANSFER_STYLES = ("palette", "outline", "stripes", "shaded", "dusk")  # a cross is another shape, not a style of the same picture


def alignment_of(cases, clips) -> dict[str, float]:
    """Mean alignment over clips; PSNR of the condition frame; coherence."""
    parts = [score.alignment(clip, case.scene) | score.coherence(clip, case.scene) for case, clip in zip(cases, clips)]
    means = {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}
    pairs = [(clip[0], picture_of(case.scene).numpy()) for case, clip in zip(cases, clips)]
    return means | {"psnr": float(np.mean([score.psnr(a, b) for a, b in pairs])), "clips": len(cases)}


class Bench:
    """One scoring: the models, PIA, the sampling, and the clips kept for the sheet."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.pia = load_pia_model(options.pia, dtype=torch.float32)
        self.scale = AffinityScale.load(options.models / "miniature_affinity.json")
        self.sampling = Sampling(options.steps, options.scale)
        self.sheet: list[np.ndarray] = []

    def tell(self, text: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def clips(self, model, cases, pia="own", conditioned: bool = True) -> list[np.ndarray]:
        return make_clips(model, self.pia if pia == "own" else pia, cases, self.sampling, conditioned)

    def keep(self, cases, clips, every: int = 1) -> None:
        """Rows for the sheet: the condition picture, then every second frame."""
        for case, clip in list(zip(cases, clips))[::every]:
            self.sheet.append(np.concatenate([picture_of(case.scene).numpy(), *clip[::2], clip[-1]], 1))

    def model_scores(self, name: str) -> dict:
        """Alignment, direction, magnitude, affinity and loop of one model."""
        self.tell(name)
        model, pictures = load_model(name, self.options.models), self.options.pictures
        cases = direction_cases(name, pictures)
        clips = self.clips(model, cases)
        paths = [score.track(clip, case.scene) for case, clip in zip(cases, clips)]
        result = alignment_of(cases, clips)
        result["direction"] = float(np.mean([score.direction(path) == case.direction for path, case in zip(paths, cases)]))
        few = min(pictures, self.options.few)
        result |= self.magnitude_scores(model, name, few, cases, clips)
        loops = loop_cases(name, few)
        looped = self.clips(model, loops)
        result["loop"] = float(np.mean([score.return_ratio(score.track(clip, c.scene)) for c, clip in zip(loops, looped)]))
        ground = [picture_of(scene_of(name, n)) for n in range(pictures)]
        again = [decode(model, encode_picture(model, p))[0] for p in ground]
        result["vae_psnr"] = float(np.mean([score.psnr(a.numpy(), b.numpy()) for a, b in zip(again, ground)]))
        self.keep(cases, clips, 3)
        self.keep(loops[:1], looped[:1])
        return result

    def magnitude_scores(self, model, name: str, few: int, cases, clips) -> dict:
        large = {case.picture: (case, clip) for case, clip in zip(cases, clips) if case.seed % 10 == 0 and case.picture < few}
        others = magnitude_cases(name, few)
        made = self.clips(model, others)
        moved = {"small": [], "moderate": [], "large": []}
        correlations = []
        for number, (case, clip) in large.items():
            group = [(case, clip), *((c, m) for c, m in zip(others, made) if c.picture == number)]
            for c, frames in group:
                moved[c.magnitude].append(score.mean_displacement(score.track(frames, c.scene)))
            requested = [c.affinity.numpy() for c, _ in group]
            correlations.append(score.affinity_correlation([frames for _, frames in group], requested, self.scale))
        self.keep(others[:2], made[:2])
        return {f"moved_{m}": float(np.mean(v)) for m, v in moved.items()} | {"affinity_rank": float(np.mean(correlations))}

    def ablations(self) -> dict[str, dict]:
        """The base's direction cases without the condition, and with each ablation that has been trained."""
        self.tell("ablations")
        model = load_model(BASE, self.options.models)
        cases = direction_cases(BASE, self.options.pictures)
        short = motion_only(cases)
        found = {
            "without condition, full prompts": alignment_of(cases, self.clips(model, cases, conditioned=False)),
            WITH: alignment_of(short, self.clips(model, short)),
            WITHOUT: alignment_of(short, self.clips(model, short, conditioned=False)),
        }
        files = {name: self.options.ablations / name / "pia.safetensors" for name in ABLATIONS} if self.options.ablations else {}
        reference = self.options.ablations and sorted((self.options.ablations / "condition").glob(f"pia-*{self.options.at}.safetensors"))
        if reference:
            files["full, same steps"] = reference[0]
        for name, path in files.items():
            if path.exists():
                clips = self.clips(model, cases, load_pia_model(path, dtype=torch.float32))
                found[name] = alignment_of(cases, clips)
                self.keep(cases[:1], clips[:1])
        return found

    def styles(self) -> dict[str, dict]:
        """Pictures of the base animated by the personalised models: share of frames in the animating style, per setting."""
        found = {}
        for name in [n for n in available(self.options.models) if n in TRANSFER_STYLES]:
            self.tell(f"style {name}")
            cases = style_cases(name, min(2, self.options.pictures))
            clips = self.clips(load_model(name, self.options.models), cases)
            shares: dict[str, list[float]] = {}
            for case, clip in zip(cases, clips):
                key = "usual" if case.motion == "animate" else case.magnitude
                shares.setdefault(key, []).append(float(np.mean([score.in_style(frame, case.scene, name) for frame in clip[1:]])))
            found[name] = {key: float(np.mean(values)) for key, values in shares.items()}
            self.keep(cases[2:3], clips[2:3])
        return found

    def run(self) -> dict:
        names = available(self.options.models)
        scores = {"models": {name: self.model_scores(name) for name in names}}
        scores |= {"ablations": self.ablations(), "styles": self.styles()}
        scores["settings"] = {"sampler": "DDIM", "steps": self.options.steps, "cfg": self.options.scale, "pictures": self.options.pictures}
        return scores


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench miniature", description="Score the miniature against the paper's claims.")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the weights")
    parser.add_argument("--pia", type=Path, default=MODELS / "miniature_pia.safetensors")
    parser.add_argument("--ablations", type=Path, help="work folder in which the ablations were trained")
    parser.add_argument("--at", type=int, default=400, help="steps of the ablations")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="condition pictures per model")
    parser.add_argument("--few", type=int, default=3, help="pictures per model for magnitudes and loops")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--scale", type=float, default=5.0, help="classifier-free guidance scale")
    parser.add_argument("--out", type=Path, default=Path("bench-miniature"), help="folder for scores.json and sheet.png")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bench = Bench(options)
    scores = bench.run()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    Image.fromarray(np.concatenate(bench.sheet, 0)).save(options.out / "sheet.png")
    table = text_table(rows_of(scores))
    (options.out / "table.txt").write_text(table + "\n")
    sys.stdout.write(table + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
