"""`python dev.py bench fast`: what the setting `fast` gains and what it costs, each table from one run.

width: CPU seconds of whole UNet calls and of calls between, in turn, at SD1.5's full width with random weights (times
do not depend on the values), 16 frames with guidance, float32, one thread; a step at `fast` n is the mean of one whole
call and n - 1 between. counted: the same from counted multiply-adds, up to 512 px. miniature: bench miniature's
direction clips by the API of a minihost, with and without: PSNR to the full clip, and bench miniature's scores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib_pia.deep_features import OUTER, keep_deep_features
from lib_pia.injection import inject
from lib_pia.model import PIAModel
from lib_pia.settings_fields import FAST
from tests.tiny_models import build_unet

from . import miniature_score as score
from .engine import CONTEXT, FRAMES, ROWS, TOKENS, Engine, spread
from .miniature_cases import BASE, direction_cases, picture_of

INTERVALS = FAST[1:]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def gain(interval: int, share: float) -> float:
    """Whole calls / steps at `interval`, for a call between that costs `share` of a whole one."""
    return interval / (1 + (interval - 1) * share)


# ---- width


def width(pixels: Iterable[int], rounds: int, outers: Iterable[int]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    engine = Engine("cpu", torch.float32)
    for side in pixels:
        for outer in outers:
            seconds = measured(engine, side // 8, rounds, outer)
            took = ", ".join(f"{kind} {statistics.median(s[kind] for s in seconds):.2f} s" for kind in seconds[0])
            ratios = {n: [gain(n, s["between"] / s["whole"]) for s in seconds] for n in INTERVALS}
            told = "; ".join(f"{n}: {spread(values)}" for n, values in ratios.items())
            say(f"{side} px, {outer} blocks at each end: {took}, {rounds} rounds; whole / mean step at {told}")


def measured(engine: Engine, cells: int, rounds: int, outer: int) -> list[dict[str, float]]:
    """CPU seconds of each round's calls of the UNet with PIA: whole and between."""
    x, context = torch.randn(ROWS, 4, cells, cells), torch.randn(ROWS, TOKENS, CONTEXT)
    t = torch.full((ROWS,), 501)

    def seconds() -> float:
        start = time.thread_time()
        engine.unet(x, t, context=context)
        return time.thread_time() - start

    found = []
    with torch.no_grad(), inject(engine.unet, engine.model, torch.randn(FRAMES, 5, cells, cells)):
        for number in range(rounds + 1):
            with keep_deep_features(engine.unet, 2, FRAMES, outer) as features:
                took = {}
                for noise, kind in ((2.0, "whole"), (1.0, "between")):
                    features.begin_step(noise)
                    took[kind] = seconds()
            found += [took] if number else []  # the first round warms up
    return found


def counted(pixels: Iterable[int], outers: Iterable[int]) -> None:
    with torch.device("meta"):
        unet, model = build_unet(width=320, context_dim=CONTEXT), PIAModel().eval().requires_grad_(False)
        for side in pixels:
            for outer in outers:
                share = counted_share(unet, model, side // 8, outer)
                told = "; ".join(f"{n}: {gain(n, share):.2f}" for n in INTERVALS)
                say(f"{side} px, {outer} blocks at each end: a call between is {share:.3f} of a whole one; {told}")


def counted_share(unet: torch.nn.Module, model: PIAModel, cells: int, outer: int) -> float:
    x, context, t = torch.empty(ROWS, 4, cells, cells), torch.empty(ROWS, TOKENS, CONTEXT), torch.empty(ROWS)
    counts = []
    # with gradients: the counter does not know the in-place product of no_grad
    with (
        torch.enable_grad(),
        inject(unet, model, torch.empty(FRAMES, 5, cells, cells)),
        keep_deep_features(unet, 2, FRAMES, outer) as features,
    ):
        for noise in (2.0, 1.0):
            features.begin_step(noise)
            with FlopCounterMode(display=False) as counter:
                unet(x, t, context=context)
            counts.append(counter.get_total_flops())
    return counts[1] / counts[0]


# ---- miniature


def miniature(pictures: int, intervals: Iterable[int], out: Path) -> None:
    from .beyond import Bench

    bench, full, base = Bench(pictures, out), [], None
    for interval in (0, *intervals):
        cases = direction_cases(BASE, pictures)
        before = time.process_time()
        clips = [
            bench.clip(case.scene, case.text, {"magnitude": case.magnitude, "fast": interval}, seed=case.seed)
            for case in cases
        ]
        seconds = (time.process_time() - before) / len(cases)
        full, base = full or clips, base or seconds
        found = scores(cases, clips)
        near = [score.psnr(clip, whole) for clip, whole in zip(clips, full)]
        to_full = f"{np.mean(near):.1f} dB to the full clip (lowest {min(near):.1f}), " if interval else ""
        told = ", ".join(f"{name} {value}" for name, value in found.items())
        say(f"fast {interval}, {len(cases)} clips: {base / seconds:.2f} x, {to_full}{told}")
    bench.sheet("fast")


def scores(cases: list, clips: list[np.ndarray]) -> dict[str, str]:
    """bench miniature's, as it shows them."""
    paths = [score.track(clip, case.scene) for clip, case in zip(clips, cases)]
    right = [score.direction(path) == case.direction for path, case in zip(paths, cases)]
    aligned = [score.alignment(clip, case.scene)["all"] for clip, case in zip(clips, cases)]
    condition = [score.psnr(clip[0], picture_of(case.scene).numpy()) for clip, case in zip(clips, cases)]
    moved = [score.mean_displacement(path) for path in paths]
    return {
        "direction": f"{np.mean(right):.0%}",
        "alignment": f"{np.mean(aligned):.1%}",
        "condition frame": f"{np.mean(condition):.1f} dB",
        "moved": f"{np.mean(moved):.1f} px",
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench fast", description=__doc__.splitlines()[0])
    tables = ("width", "counted", "miniature")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--pixels", type=int, nargs="+", help="width and counted (default: 64; 64, 128, 256 and 512)")
    parser.add_argument("--rounds", type=int, default=3, help="width: rounds (default: %(default)s)")
    parser.add_argument("--outer", type=int, nargs="+", default=[OUTER], help="other depths (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=4, help="miniature: 3 clips of each (default: %(default)s)")
    parser.add_argument("--fast", type=int, nargs="+", default=[2, 3, 5], help="miniature (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("demo/out/fast"), help="sheet (default: %(default)s)")
    options = parser.parse_args(argv)
    if "width" in options.tables:
        width(options.pixels or [64], options.rounds, options.outer)
    if "counted" in options.tables:
        counted(options.pixels or [64, 128, 256, 512], options.outer)
    if "miniature" in options.tables:
        miniature(options.pictures, options.fast, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
