"""The clips that the miniature is scored on: models, condition pictures and prompts, as in AnimateBench but small."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from demo.miniature import lora
from demo.miniature.lora import PERSONALISED
from demo.miniature.net import MODELS, Miniature
from demo.miniature.sample import Sampling, clips_of, encode_picture
from demo.miniature.scenes import (
    DIRECTIONS,
    FRAMES,
    STILL,
    describe,
    motion_words,
    random_clip_plan,
    random_figure,
    to_bytes,
)
from demo.miniature.shapes import BACKGROUNDS, SIZE, Scene, render
from lib_pia.affinity import affinity_scores
from lib_pia.model import PIAModel

PICTURES, PROMPTS = 5, 3
TOGETHER = 3  # clips sampled in one batch
BASE = "base"
ROOM = 8.0  # pixels that each of two figures can go


@dataclasses.dataclass(frozen=True)
class Case:
    """One clip to make: model, number of the picture, its scene, motion word, and the motion and magnitude of the
    affinity table."""

    model: str
    picture: int
    scene: Scene
    direction: str
    motion: str = "animate"
    magnitude: str = "large"
    prompt: str = ""
    seed: int = 0

    @property
    def text(self) -> str:
        return self.prompt or describe(self.scene, (self.direction,))

    @property
    def affinity(self) -> torch.Tensor:
        return affinity_scores(FRAMES, 0, self.motion, self.magnitude)


def available(folder: Path = MODELS) -> list[str]:
    """The base and every personalised model whose file is there."""
    return [BASE, *(name for name in PERSONALISED if (folder / f"miniature_{name}.safetensors").exists())]


def load_model(name: str, folder: Path = MODELS) -> Miniature:
    model = Miniature.load(folder / "miniature.safetensors")
    if name != BASE:
        lora.merge(model.unet, folder / f"miniature_{name}.safetensors")
    return model


def scene_of(model: str, number: int) -> Scene:
    """Condition picture `number` of a model: one figure near the middle, so that it has room on every side."""
    style = "flat" if model == BASE else model
    rng = np.random.default_rng([PERSONALISED.index(model) + 1 if model != BASE else 0, number])
    figure = random_figure(rng, style, 13.0)
    middle = rng.uniform(SIZE / 2 - 4, SIZE / 2 + 4, 2)
    figure = dataclasses.replace(figure, x=float(middle[0]), y=float(middle[1]))
    return Scene(list(BACKGROUNDS)[number % len(BACKGROUNDS)], (figure,), style)


def picture_of(scene: Scene) -> torch.Tensor:
    """The scene's picture, [64, 64, 3] uint8."""
    return torch.from_numpy(to_bytes(render(scene)))


def direction_cases(model: str, pictures: int = PICTURES, prompts: int = PROMPTS) -> list[Case]:
    """`prompts` directions for each picture; which one is left out goes round. Large motion."""
    words = list(DIRECTIONS)
    cases = []
    for number in range(pictures):
        for i in range(prompts):
            word = words[(number + i) % 4]
            cases.append(Case(model, number, scene_of(model, number), word, seed=1000 + 10 * number + i))
    return cases


def motion_only(cases: list[Case]) -> list[Case]:
    """The same cases with "moving left" as the whole prompt: what is in the picture then comes from the picture, or
    from nowhere."""
    return [dataclasses.replace(case, prompt=motion_words(case.direction)) for case in cases]


def magnitude_cases(model: str, pictures: int) -> list[Case]:
    """Small and moderate motion for the first prompt of each picture: with `direction_cases`, three magnitudes from the
    same noise."""
    large = [case for case in direction_cases(model, pictures) if case.seed % 10 == 0]
    return [dataclasses.replace(case, magnitude=m) for case in large for m in ("small", "moderate")]


def loop_cases(model: str, pictures: int) -> list[Case]:
    large = [case for case in direction_cases(model, pictures) if case.seed % 10 == 0]
    return [dataclasses.replace(case, motion="loop") for case in large]


def composed_cases(count: int) -> list[tuple[Case, tuple[str, str]]]:
    """Pictures of two figures for the base, each with a direction of its own in which it has room, and the two
    directions."""
    rng, cases = np.random.default_rng(77), []
    while len(cases) < count:
        scene, motions, offsets = random_clip_plan(rng, two=1.0)
        if STILL not in motions and np.linalg.norm(offsets, axis=-1).max(0).min() >= ROOM:
            number = len(cases)
            cases.append(
                (Case(BASE, number, scene, motions[0], prompt=describe(scene, motions), seed=4000 + number), motions)
            )
    return cases


def style_cases(model: str, pictures: int) -> list[Case]:
    """Pictures of the base animated by `model` at the style setting (small, moderate, large) and at the usual
    affinity."""
    cases = []
    for number in range(pictures):
        scene = scene_of(BASE, number)
        first = Case(model, number, scene, list(DIRECTIONS)[number % 4], "animate", "small", seed=3000 + number)
        settings = [
            ("animate", "small"),
            ("style_transfer", "small"),
            ("style_transfer", "moderate"),
            ("style_transfer", "large"),
        ]
        cases += [dataclasses.replace(first, motion=motion, magnitude=magnitude) for motion, magnitude in settings]
    return cases


def batches(cases: list[Case], size: int = TOGETHER) -> Iterator[list[Case]]:
    for i in range(0, len(cases), size):
        yield cases[i : i + size]


def make_clips(
    model: Miniature, pia: PIAModel | None, cases: Iterable[Case], sampling: Sampling, conditioned: bool = True
) -> list[np.ndarray]:
    """The clips [F, 64, 64, 3] of cases of one model, in order. conditioned False: text-to-video with the same motion
    modules."""
    made = []
    for batch in batches(list(cases)):
        latents = torch.cat([encode_picture(model, picture_of(case.scene)) for case in batch]) if conditioned else None
        affinities = torch.stack([case.affinity for case in batch])
        seeds = [case.seed for case in batch]
        made += list(clips_of(model, pia, latents, [case.text for case in batch], affinities, sampling, seeds).numpy())
    return made
