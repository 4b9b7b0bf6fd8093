"""The moving-shapes data set: random scenes, their captions, and clips of them, all from a numpy Generator."""

from dataclasses import dataclass, replace

import numpy as np

from .shapes import BACKGROUNDS, COLOURS, NEW_SHAPE, SHAPES, SIZE, STYLES, Figure, Look, Scene, render

FRAMES = 16
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
STILL = "still"
SMALLEST, LARGEST = 10.9, 15.5  # radius in pixels; under 0.17 of the picture the VAE rounds shapes off
MARGIN = 1.0
TRIGGERS = {style: "" for style in STYLES} | {"cross": "zwx"}  # the new shape's trigger word takes the shape's place


@dataclass(frozen=True)
class Clip:
    """`frames` [F, H, W, 3] uint8, the caption, every figure's offset [F, figures, 2] from where it starts, in pixels,
    and the first frame that shows what the caption says (0 but where a look fades)."""

    frames: np.ndarray
    caption: str
    offsets: np.ndarray
    scene: Scene
    settled: int = 0


def shape_word(figure: Figure) -> str:
    return TRIGGERS["cross"] if figure.shape == NEW_SHAPE else figure.shape


def describe(scene: Scene, motions: tuple[str, ...] = ()) -> str:
    """The caption: "a red star on a pink background, moving left"; two figures: "..., star moving left, square moving
    up"."""
    names = " and ".join(f"a {f.colour} {shape_word(f)}" for f in scene.figures)
    caption = f"{names} on a {scene.background} background"
    if len(motions) == 1:
        return f"{caption}, {motion_words(motions[0])}"
    for figure, motion in zip(scene.figures, motions):
        caption += f", {shape_word(figure)} {motion_words(motion)}"
    return caption


def motion_words(motion: str) -> str:
    return "still" if motion == STILL else f"moving {motion}"


def random_figure(rng: np.random.Generator, style: str, largest: float = LARGEST) -> Figure:
    shape = NEW_SHAPE if style == "cross" else str(rng.choice(SHAPES))
    radius = float(rng.uniform(SMALLEST, largest))
    reach = radius + MARGIN
    x, y = rng.uniform(reach, SIZE - reach, 2)
    return Figure(shape, str(rng.choice(list(COLOURS))), float(x), float(y), radius)


def random_scene(rng: np.random.Generator, style: str = "flat", two: float = 0.12) -> Scene:
    """A random scene; with probability `two` it has two figures of different shape and colour that do not touch."""
    background = str(rng.choice(list(BACKGROUNDS)))
    if style == "cross" or rng.random() >= two:
        return Scene(background, (random_figure(rng, style),), style)
    while True:
        a, b = random_figure(rng, style, 12.0), random_figure(rng, style, 12.0)
        apart = np.hypot(a.x - b.x, a.y - b.y) > 1.25 * (a.radius + b.radius)
        if apart and a.shape != b.shape and a.colour != b.colour:
            return Scene(background, (a, b), style)


def random_path(rng: np.random.Generator) -> np.ndarray:
    """Position along the way, [FRAMES] from 0 to 1: a power curve (a jump that settles, steady, or late), or a loop."""
    time = np.linspace(0, 1, FRAMES)
    if rng.random() < 0.3:
        return np.sin(np.pi * time) ** rng.uniform(0.5, 1.2)
    return time ** np.exp(rng.uniform(np.log(0.25), np.log(1.4)))


def random_way(rng: np.random.Generator, figure: Figure) -> tuple[str, np.ndarray, Figure]:
    """A direction, the offsets [FRAMES, 2] in pixels, and the figure moved to where the way has room."""
    direction = str(rng.choice([*DIRECTIONS] * 2 + [STILL]))
    if direction == STILL:
        return direction, np.zeros((FRAMES, 2)), figure
    reach = figure.radius + MARGIN
    distance = rng.uniform(1.0, min(26.0, SIZE - 2 * reach))
    step = np.array(DIRECTIONS[direction]) * distance
    start = [rng.uniform(max(reach, reach - s), min(SIZE - reach, SIZE - reach - s)) for s in step]
    placed = Figure(figure.shape, figure.colour, float(start[0]), float(start[1]), figure.radius)
    return direction, random_path(rng)[:, None] * step, placed


def random_clip_plan(
    rng: np.random.Generator, style: str = "flat", two: float = 0.12
) -> tuple[Scene, tuple[str, ...], np.ndarray]:
    """A scene, each figure's motion word and the offsets [FRAMES, figures, 2]."""
    while True:
        scene = random_scene(rng, style, two)
        ways = [random_way(rng, figure) for figure in scene.figures]
        figures = tuple(way[2] for way in ways)
        offsets = np.stack([way[1] for way in ways], 1)
        if len(figures) == 1 or _clear(figures, offsets):
            return Scene(scene.background, figures, style), tuple(way[0] for way in ways), offsets


def _clear(figures, offsets) -> bool:
    a, b = figures
    gap = np.array([a.x - b.x, a.y - b.y]) + offsets[:, 0] - offsets[:, 1]
    return bool((np.hypot(*gap.T) > 1.15 * (a.radius + b.radius)).all())


def to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def random_look(rng: np.random.Generator) -> Look:
    """Bright on dark, as the named colours are; strokes wider than those of "outline", stripes along an axis, not
    across as in "stripes"."""
    bright, dark = rng.uniform(0, 1, (2, 3))
    colour, ground = bright / bright.max() * rng.uniform(0.7, 1.0), dark / dark.max() * rng.uniform(0.15, 0.38)
    hollow = rng.uniform(6.5, 9.0) if rng.random() < 0.35 else 0.0
    strength = rng.uniform(0.05, 0.2) if rng.random() < 0.35 else 0.0
    return Look(tuple(colour), tuple(ground), hollow, (rng.uniform(10, 24), int(rng.integers(2)), strength))


def random_fade(rng: np.random.Generator) -> np.ndarray:
    """How much of a clip's own look is gone, [FRAMES] from 0 to 1: it starts within three frames and takes one to
    five."""
    start, length = int(rng.integers(3)), int(rng.integers(1, 6))
    return np.clip((np.arange(FRAMES) - start) / length, 0, 1)


def random_clip(
    rng: np.random.Generator, style: str = "flat", two: float = 0.12, unnamed: float = 0.0, fading: float = 0.0
) -> Clip:
    """A clip; with probability `unnamed` in a look of its own, of which the caption says the motion only, with
    probability `fading` in a look of its own that turns into what the caption says."""
    kind = rng.random()
    look = random_look(rng) if kind < unnamed + fading else None
    scene, motions, offsets = random_clip_plan(rng, style, 0.0 if look else two)
    shown = replace(scene, look=look)
    pictures = np.stack([render(shown.moved(offset)) for offset in offsets])
    if kind < unnamed:
        return Clip(to_bytes(pictures), motion_words(motions[0]), offsets, shown)
    gone = np.zeros(FRAMES)
    if look:
        gone = random_fade(rng)
        named = np.stack([render(scene.moved(offset)) for offset in offsets])
        pictures += gone[:, None, None, None] * (named - pictures)
    return Clip(to_bytes(pictures), describe(scene, motions), offsets, scene, int(gone.argmax()))
