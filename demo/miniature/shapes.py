"""Anti-aliased pictures of coloured shapes, rendered with signed distances.

A picture is [H, W, 3] float32 in [0, 1]; every length is in pixels of a SIZE x SIZE picture.
"""

from dataclasses import dataclass, replace

import numpy as np

SIZE = 64

# Hue, saturation, value and edges are what affinity is measured by: on dark backgrounds every pair of colours differs
# about equally
# (within a factor of 2), so that affinity tells the displacement. Greys have no stable hue and are left out.
COLOURS = {
    "red": (220, 40, 30),
    "orange": (245, 130, 20),
    "yellow": (250, 215, 30),
    "green": (30, 160, 70),
    "blue": (30, 90, 230),
    "purple": (150, 50, 200),
}
BACKGROUNDS = {
    "brown": (96, 58, 34),
    "olive": (76, 76, 26),
    "teal": (22, 74, 74),
    "navy": (24, 28, 84),
    "plum": (80, 32, 76),
}
# The palette of the personalised model "palette": the same words, other colours.
OTHER_COLOURS = {
    "red": (250, 120, 140),
    "orange": (250, 190, 140),
    "yellow": (240, 240, 150),
    "green": (140, 235, 150),
    "blue": (130, 200, 250),
    "purple": (200, 150, 250),
}
OTHER_BACKGROUNDS = {
    "brown": (60, 12, 12),
    "olive": (14, 54, 20),
    "teal": (12, 50, 70),
    "navy": (46, 16, 84),
    "plum": (84, 12, 52),
}
SHAPES = ("circle", "square", "triangle", "star")
NEW_SHAPE = "cross"
STYLES = ("flat", "palette", "outline", "stripes", "cross", "shaded", "dusk", "rim")
OUTLINE = 5.0  # width of the stroke of the style "outline"
STRIPE = 16.0  # period of the stripes of the style "stripes"
RIM = 3.0  # width of the white rim of the style "rim"


@dataclass(frozen=True)
class Figure:
    """One coloured shape: its name, colour name, centre and radius in pixels."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Look:
    """A way to draw that no word names and no style has: RGB 0..1 of figure and ground; the stroke's width where the
    figure is hollow, else 0; period, axis (0 down, 1 across) and strength of stripes on the ground."""

    colour: tuple[float, ...]
    ground: tuple[float, ...]
    hollow: float = 0.0
    stripes: tuple[float, int, float] = (16.0, 0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A background, one or two figures and a drawing style, or a look instead of it."""

    background: str
    figures: tuple[Figure, ...]
    style: str = "flat"
    look: Look | None = None

    def moved(self, offsets) -> "Scene":
        """The scene with figure i moved by `offsets[i]` = (dx, dy) pixels."""
        figures = tuple(replace(f, x=f.x + dx, y=f.y + dy) for f, (dx, dy) in zip(self.figures, offsets))
        return replace(self, figures=figures)


def polygon(shape: str) -> np.ndarray:
    """Corners [N, 2] of a shape of about unit radius, y downwards."""
    if shape == "square":
        return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32) * 0.84
    if shape == "triangle":
        return np.array([(0, -1.1), (1.1, 0.85), (-1.1, 0.85)], np.float32)
    if shape == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 1.25, 0.58)
        return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1).astype(np.float32)
    if shape == "cross":
        a, b = 0.38, 1.1
        half = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
        return np.array(half + [(-x, -y) for x, y in half], np.float32)
    raise ValueError(f"unknown shape {shape!r}: use one of {('circle', *SHAPES[1:], NEW_SHAPE)}")


def signed_distance(figure: Figure) -> np.ndarray:
    """Distance [SIZE, SIZE] in pixels to the figure's outline, negative inside."""
    centres = np.arange(SIZE, dtype=np.float32) + 0.5
    x, y = centres[None, :] - figure.x, centres[:, None] - figure.y
    if figure.shape == "circle":
        return np.sqrt(x * x + y * y) - figure.radius
    corners = polygon(figure.shape) * figure.radius
    nearest = np.full((SIZE, SIZE), np.inf, np.float32)
    inside = np.zeros((SIZE, SIZE), bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0)):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (x - ax - along * ex) ** 2 + (y - ay - along * ey) ** 2)
        if ey != 0:
            inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / ey + ax)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def palette(style: str) -> tuple[dict, dict]:
    """The colours and backgrounds, name -> RGB 0..255, that a style draws with."""
    return (OTHER_COLOURS, OTHER_BACKGROUNDS) if style == "palette" else (COLOURS, BACKGROUNDS)


def _rgb(colour) -> np.ndarray:
    return np.asarray(colour, np.float32) / 255


def paint_background(scene: Scene) -> np.ndarray:
    """The scene without its figures, [SIZE, SIZE, 3]."""
    plain = _rgb(palette(scene.style)[1][scene.background])
    ys, xs = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    if scene.look:
        period, axis, strength = scene.look.stripes
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * (ys, xs)[axis] / period)[..., None]
        return np.asarray(scene.look.ground, np.float32) + strength * wave
    if scene.style == "stripes":
        wave = np.clip(0.5 + STRIPE / 4 * np.sin(2 * np.pi * (xs + ys) / STRIPE) / np.sqrt(2), 0, 1)[..., None]
        return plain + 0.2 * wave
    if scene.style == "dusk":
        depth = (ys / SIZE)[..., None]
        return plain * (1 - 0.6 * depth) + np.array([0.20, 0.05, 0.10], np.float32) * depth
    return np.broadcast_to(plain, (SIZE, SIZE, 3))


def render(scene: Scene) -> np.ndarray:
    """The picture of a scene, [SIZE, SIZE, 3] float32 in [0, 1]."""
    picture = np.array(paint_background(scene), np.float32)
    colours = palette(scene.style)[0]
    for figure in scene.figures:
        distance = signed_distance(figure)
        cover = np.clip(0.5 - distance, 0, 1)
        colour = np.broadcast_to(scene.look.colour if scene.look else _rgb(colours[figure.colour]), picture.shape)
        stroke = scene.look.hollow if scene.look else OUTLINE * (scene.style == "outline")
        if stroke:
            cover = cover * np.clip(0.5 + distance + stroke, 0, 1)
        if scene.style == "shaded":
            centres = np.arange(SIZE, dtype=np.float32) + 0.5
            light = (figure.x - centres[None, :] + figure.y - centres[:, None]) / (2.4 * figure.radius)
            light = np.clip(light, -0.6, 0.6)[..., None]
            colour = np.where(light > 0, colour + (1 - colour) * light, colour * (1 + light))
        if scene.style == "rim":
            colour = colour + (0.95 - colour) * np.clip(0.5 + distance + RIM, 0, 1)[..., None]
        picture += cover[..., None] * (colour - picture)
    return picture
