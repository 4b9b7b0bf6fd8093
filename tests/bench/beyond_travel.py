"""Rows of `python dev.py bench beyond` for prompts that travel: the figure is told to go left, then up.

Each clip is a chain of 32 frames. `travel` says one direction alone in each half; `mixed` names two frames only, so
that every frame between them is told a mix. The direction of a half is that of its farthest displacement from its first
frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from demo.miniature.scenes import describe
from demo.miniature.shapes import Scene

from . import miniature_score as score
from .miniature_cases import BASE, scene_of

FRAMES, HALF = 32, 16
SETTINGS = {"num_frames": FRAMES, "window": 16, "magnitude": "large"}
PROMPTS = {  # frame -> direction
    "travel": {0: "left", HALF - 1: "left", HALF: "up"},
    "mixed": {0: "left", FRAMES - 1: "up"},
}
GOAL = 0.8


def prompt_of(scene: Scene, words: dict[int, str]) -> str:
    """The prompt whose texts tell the scene's figure where to go."""
    return "\n".join(f"{frame}: {describe(scene, (word,))}" for frame, word in words.items())


def halves(frames: np.ndarray, scene: Scene) -> tuple[str, str]:
    """The direction of the figure in each half of a clip."""
    path = score.track(frames, scene)
    return score.direction(path[:HALF]), score.direction(path[HALF - 1 :] - path[HALF - 1])


def told(bench: Any, name: str, pictures: int, settings: dict | None = None) -> list[tuple[str, str]]:
    """The directions of the halves of each picture's clip. `bench` makes clips: `clip(scene, prompt, settings, seed)`
    gives [F, 64, 64, 3] uint8."""
    found = []
    for number in range(pictures):
        scene = scene_of(BASE, number)
        prompt = prompt_of(scene, PROMPTS[name])
        found.append(halves(bench.clip(scene, prompt, {**SETTINGS, **(settings or {})}, seed=400 + number), scene))
    return found


Line = tuple[str, str, str, Any]  # name, goal, result, whether it is reached (None: no goal)


def rows(bench: Any, pictures: int = 4, names: tuple[str, ...] = ("travel",)) -> list[Line]:
    """(name, goal, result, whether it is reached) of each row."""
    made = []
    for name in names:
        found = told(bench, name, pictures)
        first, second = (np.mean([half[i] == word for half in found]) for i, word in enumerate(("left", "up")))
        share = (first + second) / 2
        frames = ", ".join(f"{frame} {word}" for frame, word in PROMPTS[name].items())
        made.append(
            (
                f"prompt travel ({frames}): direction right in each half",
                f">= {GOAL:.0%}" if name == "travel" else "report",
                f"{share:.0%} (first half {first:.0%}, second {second:.0%}, {pictures} clips)",
                bool(share >= GOAL) if name == "travel" else None,
            )
        )
    return made
