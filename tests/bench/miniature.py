"""Scores of the miniature against the paper's claims: `python dev.py bench miniature [--pictures N] [--ablations DIR]
[--out DIR]`.

Makes the clips, measures them from pixels, prints one table, writes scores.json and sheet.png. All clips come from
fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demo.miniature.net import MODELS
from demo.miniature.pia import COMPARED
from demo.miniature.sample import Sampling, decode, encode_picture
from lib_pia.checkpoint import load_pia_model
from lib_pia.training import AffinityScale

from . import miniature_score as score
from .miniature_cases import (
    BASE,
    PICTURES,
    available,
    composed_cases,
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
from .miniature_table import FULL_WITHOUT, WITH, WITHOUT, rows_of, text_table

NO_TRANSFER = ("base", "cross")  # a cross is another shape, not a style of the same picture
SCALE = 1.5  # classifier-free guidance, fixed before this recipe was scored: more of it stretches the motion


def alignment_of(cases, clips) -> dict[str, float]:
    """Mean alignment over clips; PSNR of the condition frame; coherence."""
    parts = [score.alignment(clip, case.scene) | score.coherence(clip, case.scene) for case, clip in zip(cases, clips)]
    means = {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}
    return means | {"psnr": condition_psnr(cases, clips), "clips": len(cases)}


def condition_psnr(cases, clips) -> float:
    """Mean PSNR of the condition frame, dB."""
    return float(np.mean([score.psnr(clip[0], picture_of(case.scene).numpy()) for case, clip in zip(cases, clips)]))


class Bench:
    """The models, PIA, the sampling, and the clips kept for the sheet, for one task."""

    def __init__(self, options: argparse.Namespace):
        torch.set_num_threads(1)
        self.options = options
        self.pia = load_pia_model(options.pia, dtype=torch.float32)
        self.scale = AffinityScale.load(options.models / "miniature_affinity.json")
        self.sampling = Sampling(options.steps, options.scale)
        self.sheet: list[np.ndarray] = []

    def clips(self, model, cases, pia="own", conditioned: bool = True) -> list[np.ndarray]:
        return make_clips(model, self.pia if pia == "own" else pia, cases, self.sampling, conditioned)

    def keep(self, cases, clips, every: int = 1) -> None:
        """Rows for the sheet: the condition picture, then every second frame."""
        for case, clip in list(zip(cases, clips))[::every]:
            self.sheet.append(np.concatenate([picture_of(case.scene).numpy(), *clip[::2], clip[-1]], 1))

    def model_scores(self, name: str) -> dict:
        """Alignment, direction, magnitude, affinity and loop of one model."""
        model, pictures = load_model(name, self.options.models), self.options.pictures
        cases = direction_cases(name, pictures)
        clips = self.clips(model, cases)
        paths = [score.track(clip, case.scene) for case, clip in zip(cases, clips)]
        result = alignment_of(cases, clips)
        result["direction"] = float(
            np.mean([score.direction(path) == case.direction for path, case in zip(paths, cases)])
        )
        self.keep(cases, clips, 3)
        few = min(pictures, self.options.few)
        result |= self.magnitude_scores(model, name, few, cases, clips)
        loops = loop_cases(name, few)
        looped = self.clips(model, loops)
        result["loop"] = float(
            np.mean([score.return_ratio(score.track(clip, c.scene)) for c, clip in zip(loops, looped)])
        )
        ground = [picture_of(scene_of(name, n)) for n in range(pictures)]
        again = [decode(model, encode_picture(model, p))[0] for p in ground]
        result["vae_psnr"] = float(np.mean([score.psnr(a.numpy(), b.numpy()) for a, b in zip(again, ground)]))
        self.keep(loops[:1], looped[:1])
        return result

    def magnitude_scores(self, model, name: str, few: int, cases, clips) -> dict:
        """Mean displacement per magnitude, and the rank correlation of affinity over the three magnitudes of a
        picture."""
        large = {
            case.picture: (case, clip) for case, clip in zip(cases, clips) if case.seed % 10 == 0 and case.picture < few
        }
        others = magnitude_cases(name, few)
        made = self.clips(model, others)
        moved: dict[str, list[float]] = {"small": [], "moderate": [], "large": []}
        correlations = []
        for number, (case, clip) in large.items():
            group = [(case, clip), *((c, m) for c, m in zip(others, made) if c.picture == number)]
            for c, frames in group:
                moved[c.magnitude].append(score.mean_displacement(score.track(frames, c.scene)))
            requested = [c.affinity.numpy() for c, _ in group]
            correlations.append(score.affinity_correlation([frames for _, frames in group], requested, self.scale))
        self.keep(others[:2], made[:2])
        return {f"moved_{m}": float(np.mean(v)) for m, v in moved.items()} | {
            "affinity_rank": float(np.mean(correlations))
        }

    def condition_scores(self, name: str) -> dict:
        """The base's direction cases with and without the condition (text-to-video by the same motion modules)."""
        model, cases = load_model(BASE, self.options.models), direction_cases(BASE, self.options.pictures)
        cases = cases if name == FULL_WITHOUT else motion_only(cases)
        clips = self.clips(model, cases, conditioned=name == WITH)
        self.keep(cases[:1], clips[:1])
        return alignment_of(cases, clips)

    def compared_scores(self, name: str) -> dict:
        """The base's direction cases, told the motion alone, with the PIA model of an ablation or of its reference."""
        model, cases = load_model(BASE, self.options.models), motion_only(direction_cases(BASE, self.options.pictures))
        clips = self.clips(model, cases, load_pia_model(compared_file(self.options, name), dtype=torch.float32))
        self.keep(cases[:1], clips[:1])
        return alignment_of(cases, clips)

    def composed_scores(self, name: str) -> dict:
        """Two figures, each told its own direction: shares of figures and of clips that move as told, and the condition
        frame's PSNR."""
        composed = composed_cases(2 * self.options.pictures)
        cases = [case for case, _ in composed]
        clips = self.clips(load_model(name, self.options.models), cases)
        right = np.array([[score.direction(path) == word for path, word in zip(score.tracks(clip, case.scene), motions)]
                          for clip, (case, motions) in zip(clips, composed)])  # fmt: skip
        self.keep(cases[:3], clips[:3])
        shares = {"figures": float(right.mean()), "both": float(right.all(1).mean())}
        return shares | {"psnr": condition_psnr(cases, clips), "clips": len(cases)}

    def style_scores(self, name: str) -> dict:
        """Pictures of the base animated by a personalised model: share of frames in its style, per setting."""
        cases = style_cases(name, min(2, self.options.pictures))
        clips = self.clips(load_model(name, self.options.models), cases)
        shares: dict[str, list[float]] = {}
        for case, clip in zip(cases, clips):
            key = "usual" if case.motion == "animate" else case.magnitude
            shares.setdefault(key, []).append(
                float(np.mean([score.in_style(frame, case.scene, name) for frame in clip[1:]]))
            )
        self.keep(cases[2:3], clips[2:3])
        return {key: float(np.mean(values)) for key, values in shares.items()}


def compared_file(options: argparse.Namespace, name: str) -> Path:
    """The PIA model of an ablation, or of what they are compared with, and a seed: onehot.1."""
    return (options.ablations or Path()) / name / "pia.safetensors"


def tasks(options: argparse.Namespace) -> list[tuple[str, str]]:
    """(method of Bench, its argument), in the order of the table."""
    names = available(options.models)
    wanted = [("model_scores", name) for name in names]
    wanted += [("condition_scores", name) for name in (FULL_WITHOUT, WITH, WITHOUT)]
    wanted += [
        ("compared_scores", name) for name in COMPARED if options.ablations and compared_file(options, name).exists()
    ]
    wanted.append(("composed_scores", BASE))
    return wanted + [("style_scores", name) for name in names if name not in NO_TRANSFER]


def perform(options: argparse.Namespace, task: tuple[str, str]) -> tuple[dict, list[np.ndarray]]:
    bench = Bench(options)
    found = getattr(bench, task[0])(task[1])
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {task[1]}\n")
    return found, bench.sheet


def run(options: argparse.Namespace) -> tuple[dict, np.ndarray]:
    """All scores, and the contact sheet."""
    groups = {
        "model_scores": "models",
        "condition_scores": "condition",
        "compared_scores": "compared",
        "style_scores": "styles",
        "composed_scores": "composed",
    }
    scores: dict = {group: {} for group in groups.values()}
    wanted, rows = tasks(options), []
    with ProcessPoolExecutor(options.processes) as pool:
        for (method, name), (found, sheet) in zip(wanted, pool.map(partial(perform, options), wanted)):
            scores[groups[method]][name] = found
            rows += sheet
    scores["settings"] = {
        "sampler": "DDIM",
        "steps": options.steps,
        "cfg": options.scale,
        "pictures": options.pictures,
        "few": options.few,
    }
    return scores, np.concatenate(rows, 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python dev.py bench miniature", description="Score the miniature against the paper's claims."
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the weights")
    parser.add_argument("--pia", type=Path, default=MODELS / "miniature_pia.safetensors")
    parser.add_argument("--ablations", type=Path, help="work folder in which the ablations were trained")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="condition pictures per model")
    parser.add_argument("--few", type=int, default=3, help="pictures per model for magnitudes and loops")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--scale", type=float, default=SCALE, help="classifier-free guidance scale (%(default)s)")
    parser.add_argument(
        "--processes", type=int, default=2, help="clips are made by so many processes of one thread each"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench-miniature"), help="folder for scores.json and sheet.png"
    )
    options = parser.parse_args(arguments)
    scores, sheet = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    Image.fromarray(sheet).save(options.out / "sheet.png")
    table = text_table(rows_of(scores))
    (options.out / "table.txt").write_text(table + "\n")
    sys.stdout.write(table + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
