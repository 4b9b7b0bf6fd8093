"""`python dev.py bench beyond`: what long and directed clips show on the miniature, goal beside result.

Everything goes through minihost's API, as a user's request does; pixels are measured as in `bench miniature`.
`--pictures N` clips per row, `--rows NAME ...` some of them, `--out DIR` for a sheet of frames per row.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from demo.miniature.scenes import DIRECTIONS, describe
from demo.miniature.shapes import COLOURS, Scene, paint_background
from lib_pia.settings import PIASettings
from lib_pia.video import read_clip
from lib_pia.windows import plan

from . import beyond_travel
from . import miniature_score as score
from .clip import memory as resident
from .miniature_cases import BASE, composed_cases, picture_of, scene_of

TITLE = "Animate (PIA)"
COST_ROUNDS = 3
OLD = 16  # frames of the clip that is gone on from
REQUEST = {"steps": 20, "width": 64, "height": 64, "cfg_scale": 1.5, "sampler_name": "Euler"}


@dataclasses.dataclass
class Row:
    """One line of the table."""

    name: str
    goal: str
    result: str
    reached: bool | None = None


class Bench:
    """Clips by the API of a minihost in this process; a sheet of every row's clips."""

    def __init__(self, pictures: int, out: Path) -> None:
        from demo.__main__ import DEMO, place_models
        from demo.minihost import start

        torch.set_num_threads(1)
        folder = Path(tempfile.mkdtemp())
        place_models(folder / "models")
        self.host = start(folder, extensions=[DEMO.parent])
        self.pictures, self.out = pictures, out
        self.clips: list[np.ndarray] = []

    def file(self, scene: Scene, prompt: str, settings: dict, seed: int = 4, **request: Any) -> str:
        """A clip as APNG, base64."""
        args = [{"formats": ["apng"], "magnitude": "moderate", **settings}]
        picture = Image.fromarray(picture_of(scene).numpy())
        body = {**REQUEST, "prompt": prompt, "seed": seed, "init_images": [self.host.base64(picture)], **request}
        return self.host.img2img(**body, alwayson_scripts={TITLE: {"args": args}})["images"][0]

    def clip(self, *args: Any, **request: Any) -> np.ndarray:
        """Frames [F, 64, 64, 3] uint8 of what `file` makes."""
        self.clips.append(frames_of(self.file(*args, **request)))
        return self.clips[-1]

    def scenes(self) -> Iterator[tuple[int, Scene, str]]:
        """(number, scene, direction) of the row's clips."""
        words = list(DIRECTIONS)
        for number in range(self.pictures):
            yield number, scene_of(BASE, number), words[number % len(words)]

    def sheet(self, name: str) -> None:
        """Every clip since the last sheet, one per line, at most 32 frames of each."""
        lines = [np.concatenate(list(clip[:: -(-len(clip) // 32)]), axis=1) for clip in self.clips]
        if lines:
            width = max(line.shape[1] for line in lines)
            padded = [np.pad(line, ((0, 2), (0, width - line.shape[1]), (0, 0))) for line in lines]
            self.out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(padded)).save(self.out / f"{name}.png")
        self.clips.clear()


def frames_of(file: str) -> np.ndarray:
    """All frames [F, 64, 64, 3] uint8 of an APNG in base64."""
    return np.stack([np.asarray(frame) for frame in read_clip(base64.b64decode(file), max_frames=512)])


# ---- measures

def steps_of(frames: np.ndarray) -> np.ndarray:
    """Mean change of the pixels from each frame to the next, [F-1]."""
    return np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))


def speed_changes(frames: np.ndarray, scene: Scene) -> np.ndarray:
    """How much the figure's velocity changes at each frame, [F-2] pixels per frame."""
    return np.linalg.norm(np.diff(score.track(frames, scene), n=2, axis=0), axis=1)


def seams(settings: dict) -> list[int]:
    """The first new frame of every window but the first."""
    windows = plan(PIASettings.from_dict(settings))
    return [window.start + len(window.known) for window in windows[1:]]


def at_and_inside(values: np.ndarray, places: list[int]) -> float:
    """Mean of `values` at `places` relative to the mean elsewhere."""
    at = np.zeros(len(values), bool)
    at[places] = True
    return float(values[at].mean() / max(values[~at].mean(), 1e-9))


def worst_around(values: list[np.ndarray], places: list[int], before: int) -> float:
    """The largest mean of `values` (one array per clip) over the clips and `places`, for the place itself, one after
    and `before` before it, relative to the mean elsewhere: what a seam is that is spread over several frames."""
    mean = np.mean(values, axis=0)
    around = {offset: [place + offset for place in places] for offset in range(-before, 2)}
    inside = np.ones(len(mean), bool)
    inside[[i for found in around.values() for i in found]] = False
    return float(max(mean[found].mean() for found in around.values()) / max(mean[inside].mean(), 1e-9))


def chain_measures(bench: Bench, settings: dict, **request: Any) -> dict[str, float]:
    """Means over the row's clips."""
    found: list[dict[str, float]] = []
    steps, speeds = [], []
    overlap = PIASettings.from_dict(settings).overlap_frames
    for number, scene, word in bench.scenes():
        frames = bench.clip(scene, describe(scene, (word,)), settings, seed=100 + number, **request)
        places = seams(settings)
        first, last = (score.alignment(part, scene)["all"] for part in (frames[:16], frames[-16:]))
        path = score.track(frames, scene)
        steps.append(steps_of(frames))
        speeds.append(speed_changes(frames, scene))
        found.append(
            {
                "colour": at_and_inside(steps[-1], [place - 1 for place in places]),
                "speed": at_and_inside(speeds[-1], [place - 2 for place in places]),
                "first": first,
                "last": last,
                "moved": score.mean_displacement(path),
                "area": score.looks(frames[-1:], scene)[0].area / score.looks(frames[:1], scene)[0].area,
            }
        )
    means = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
    means["worst colour"] = worst_around(steps, [place - 1 for place in places], overlap - 1)
    means["worst speed"] = worst_around(speeds, [place - 2 for place in places], overlap - 1)
    return means


# ---- rows

def chain(bench: Bench) -> Iterator[Row]:
    four = chain_measures(bench, {"num_frames": 64})
    one = chain_measures(bench, {"num_frames": 64, "overlap": 1})
    told = "; ".join(
        f"K = {k}: colour {m['colour']:.2f}, speed {m['speed']:.2f} "
        f"(worst frame around the seam {m['worst colour']:.2f}, {m['worst speed']:.2f})"
        for k, m in ((4, four), (1, one))
    )
    better = four["colour"] <= one["colour"] and four["speed"] <= one["speed"]
    reached = four["colour"] <= 1.2 and four["speed"] <= 1.2 and better
    yield Row("chain 64: jump at the seams / inside windows", "<= 1.2, and K = 1 is worse", told, reached)
    share = f"first window {four['first']:.0%}, last {four['last']:.0%}; area at the end {four['area']:.2f}"
    reached = four["last"] >= four["first"] - 0.05
    yield Row("chain 64: frames of the picture's colour, ground and size", "within 5 points", share, reached)


def going_on(bench: Bench) -> Iterator[Row]:
    """A clip of 16 frames and 24 more by `continue_from`, at the one seam between them."""
    steps, speeds = {}, {}
    for number, scene, word in bench.scenes():
        prompt = describe(scene, (word,))
        first = bench.file(scene, prompt, {"num_frames": OLD}, seed=500 + number)
        old = frames_of(first)
        for whole in (True, False):
            settings = {"num_frames": 24, "continue_from": first, "continue_whole": whole}
            frames = bench.clip(scene, prompt, settings, seed=600 + number)
            frames = frames if whole else np.concatenate([old, frames])
            steps.setdefault(whole, []).append(steps_of(frames))
            speeds.setdefault(whole, []).append(speed_changes(frames, scene))
    told, reached = [], []
    for whole, name in ((True, "whole clip"), (False, "new part behind the old clip")):
        colour = np.mean([at_and_inside(one, [OLD - 1]) for one in steps[whole]])
        speed = np.mean([at_and_inside(one, [OLD - 2]) for one in speeds[whole]])
        worst = [worst_around(values[whole], [OLD - back], 3) for values, back in ((steps, 1), (speeds, 2))]
        told.append(f"{name}: colour {colour:.2f}, speed {speed:.2f} (worst frame {worst[0]:.2f}, {worst[1]:.2f})")
        reached.append(colour <= 1.2 and speed <= 1.2)
    yield Row("continue_from: jump where the new frames begin / elsewhere", "<= 1.2", "; ".join(told), reached[0])


def cost(bench: Bench) -> Iterator[Row]:
    scene = scene_of(BASE, 0)

    def user_time(frames: int) -> float:
        """Seconds of this process per window."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        bench.clip(scene, describe(scene, ("left",)), {"num_frames": frames})
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        return used / len(plan(PIASettings(num_frames=frames)))

    user_time(16)  # whatever is loaded once
    short = peak()
    times = [(user_time(16), user_time(64), user_time(16)) for _ in range(COST_ROUNDS)]
    memory, ratio = peak() / short, float(np.median([2 * long / (one + two) for one, long, two in times]))
    told = f"{ratio:.3f} (median of {COST_ROUNDS} rounds 16, 64, 16)"
    yield Row("chain 64: peak memory / that of 16 frames", "<= 1.1", f"{memory:.3f}", memory <= 1.1)
    yield Row("chain 64: CPU time / (16 frames x windows)", "<= 1.05", told, ratio <= 1.05)


def memory(bench: Bench) -> Iterator[Row]:
    """What 448 frames more, 37 windows, take while they are sampled, and with all of them decoded and written."""
    from modules import processing

    scene, decode = scene_of(BASE, 0), processing.decode_latent_batch

    def peaks_of(frames: int) -> tuple[float, float]:
        """Highest resident memory, MB, before a clip of one step is decoded, and at its end."""
        sampled = []

        def decoding(*args: Any, **kwargs: Any) -> Any:
            sampled.append(1024 * resident(reset=False))
            return decode(*args, **kwargs)

        resident(reset=True)
        with mock.patch.object(processing, "decode_latent_batch", decoding):
            bench.file(scene, describe(scene, ("left",)), {"num_frames": frames}, steps=1)
        return sampled[0], 1024 * resident(reset=False)

    peaks_of(512)  # what the allocator keeps after the first long clip
    (short, small), (long, large) = peaks_of(64), peaks_of(512)
    told = f"{long / short:.3f} ({short:.0f} -> {long:.0f} MB); delivered {small:.0f} -> {large:.0f} MB, "
    told += f"{(large - small) / 448:.2f} MB a frame, whose float32 picture has {64 * 64 * 3 * 4 / 2**20:.2f}"
    yield Row("chain 512: peak memory while sampling / that of 64 frames", "<= 1.1", told, long / short <= 1.1)


def peak() -> float:
    """Highest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loop(bench: Bench) -> Iterator[Row]:
    settings = {"num_frames": 48, "longer": "slide", "motion": "loop", "magnitude": "large"}
    ratios, largest, moved = [], [], []
    for number, scene, word in bench.scenes():
        frames = bench.clip(scene, describe(scene, (word,)), settings, seed=200 + number)
        steps = steps_of(np.concatenate([frames, frames[:1]]))
        ratios.append(steps[-1] / steps[:-1].mean())
        largest.append(steps.max() / steps.mean())
        moved.append(score.mean_displacement(score.track(frames, scene)))
    told = f"{np.mean(ratios):.2f} (largest step {np.mean(largest):.1f} x the mean, moved {np.mean(moved):.1f} px)"
    yield Row("slide loop 48: last -> first step / mean step", "<= 1.2", told, float(np.mean(ratios)) <= 1.2)


def end_picture(bench: Bench) -> Iterator[Row]:
    found, jumps = [], []
    for number, scene, _ in bench.scenes():
        moved = dataclasses.replace(scene.figures[0], x=scene.figures[0].x + 10)
        target = dataclasses.replace(scene, figures=(moved,))
        picture = Image.fromarray(picture_of(target).numpy())
        settings = {"pictures": [{"frame": -1, "image": bench.host.base64(picture)}], "magnitude": "large"}
        frames = bench.clip(scene, describe(scene, ("right",)), settings, seed=300 + number)
        found.append(score.psnr(frames[-1], picture_of(target).numpy()))
        steps = steps_of(frames)
        jumps.append(steps.max() / steps.mean())
    told = f"{np.mean(found):.1f} dB (largest step {np.mean(jumps):.1f} x the mean)"
    yield Row("end picture: PSNR of the last frame", ">= 22 dB", told, float(np.mean(found)) >= 22)


def travel(bench: Bench) -> Iterator[Row]:
    for row in beyond_travel.rows(bench, bench.pictures):
        yield Row(*row)


def brush(bench: Bench) -> Iterator[Row]:
    """By the affinity alone ("motion"), and with what is not painted kept as well ("both")."""
    for means in ("motion", "both"):
        yield brushed(bench, means)


def brushed(bench: Bench, means: str) -> Row:
    ratios = []
    for case, _ in composed_cases(bench.pictures):
        free = bench.clip(case.scene, case.prompt, {"magnitude": "large"}, seed=case.seed)
        settings = {"mask_means": means, "magnitude": "large"}
        masked = {"mask": bench.host.base64(around_first(case.scene)), "mask_blur": 0}
        frames = bench.clip(case.scene, case.prompt, settings, seed=case.seed, **masked)
        inside, outside = (score.mean_displacement(path) for path in score.tracks(frames, case.scene))
        ratios.append((inside, outside, still_there(frames, case.scene), still_there(free, case.scene)))
    inside, outside, there, without = np.mean(ratios, axis=0)
    told = f"{outside / max(inside, 1e-9):.2f} ({outside:.1f} px outside, {inside:.1f} px inside; there in {there:.0%}"
    reached = outside <= 0.25 * inside and there >= 0.8
    goal = "<= 0.25, and the shape is there in 80 % of the frames"
    name = f'motion brush ("{means}") over one of two shapes: motion outside / inside'
    return Row(name, goal, f"{told}, without a mask in {without:.0%})", reached)


def still_there(frames: np.ndarray, scene: Scene) -> float:
    """Share of the frames in which the first figure has at least half of the pixels that it has in frame 0."""
    background = paint_background(scene)
    colours = np.array([COLOURS[figure.colour] for figure in scene.figures]) / 255.0
    areas = []
    for frame in frames / 255.0:
        nearest = np.linalg.norm(frame[..., None, :] - colours, axis=-1).argmin(-1)
        areas.append(int((score.figure_mask(frame, background) & (nearest == 0)).sum()))
    return float(np.mean(np.array(areas) >= areas[0] / 2))


def around_first(scene: Scene) -> Image.Image:
    """White where the first figure is nearer than the second: what one would paint to let it move."""
    ys, xs = np.mgrid[:64, :64] + 0.5
    first, second = (np.hypot(xs - figure.x, ys - figure.y) for figure in scene.figures)
    return Image.fromarray(np.where(first < second, 255, 0).astype(np.uint8))


def clamp(bench: Bench) -> Iterator[Row]:
    from lib_pia.host.generation import windows

    chosen = windows.CLAMP
    told = []
    for kind in windows.CLAMPS:
        windows.CLAMP = kind
        m = chain_measures(bench, {"num_frames": 40}, sampler_name="DDIM")
        told.append(f"{kind}: colour {m['colour']:.2f}, speed {m['speed']:.2f}, moved {m['moved']:.1f} px")
    windows.CLAMP = chosen
    yield Row(f"chain 40 with DDIM, clamp (default {chosen})", "report", "; ".join(told))


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "cost": cost,
    "memory": memory,
    "chain": chain,
    "continue": going_on,
    "loop": loop,
    "end_picture": end_picture,
    "travel": travel,
    "brush": brush,
    "clamp": clamp,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench beyond", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=4, help="clips per row (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--out", type=Path, default=Path("demo/out/beyond"), help="sheets (default: %(default)s)")
    options = parser.parse_args(argv)
    bench = Bench(options.pictures, options.out)
    for name in options.rows:
        for row in ROWS[name](bench):
            mark = {True: "reached", False: "MISSED", None: ""}[row.reached]
            sys.stdout.write(f"{row.name} | goal {row.goal} | {row.result} | {mark}\n")
            sys.stdout.flush()
        bench.sheet(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
