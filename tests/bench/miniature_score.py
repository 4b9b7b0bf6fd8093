"""Scores of the miniature's clips, from pixels: what is figure and what is ground, their colours, the figure's size and
track.

Frames are [F, 64, 64, 3] uint8; what is expected is known exactly, because the condition pictures are rendered from a
`Scene`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import spearmanr

from demo.miniature.shapes import BACKGROUNDS, COLOURS, Scene, paint_background, render
from lib_pia.affinity import frame_distances
from lib_pia.training import AffinityScale

FIGURE = 0.22  # a pixel this far (RGB in 0..1, L2) from the background is the figure
SAME_COLOUR = 0.25  # the mean colours of the figure may differ by this much
SAME_GROUND = 0.12  # the median difference of the ground from the background
SIZES = (2 / 3, 3 / 2)  # area of the figure relative to the condition picture


@dataclasses.dataclass(frozen=True)
class Look:
    """What one frame shows: mean RGB, area (pixels) and centroid (x, y) of the figure; the ground's median distance
    from the background."""

    colour: np.ndarray
    area: int
    centroid: np.ndarray
    ground_error: float


def figure_mask(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    return np.linalg.norm(frame - background, axis=-1) > FIGURE


def look(frame: np.ndarray, background: np.ndarray) -> Look:
    """`frame` and `background` [64, 64, 3] in [0, 1]."""
    distance = np.linalg.norm(frame - background, axis=-1)
    mask = figure_mask(frame, background)
    area = int(mask.sum())
    ground = float(np.median(distance[~mask])) if area < mask.size else 1.0
    if not area:
        return Look(np.zeros(3), 0, np.array([np.nan, np.nan]), ground)
    weights = distance * mask
    ys, xs = np.mgrid[: len(frame), : len(frame)] + 0.5
    centroid = np.array([(xs * weights).sum(), (ys * weights).sum()]) / weights.sum()
    return Look(frame[mask].mean(0), area, centroid, ground)


def looks(frames: np.ndarray, scene: Scene) -> list[Look]:
    background = paint_background(scene)
    return [look(frame / 255.0, background) for frame in frames]


def nearest_name(colour: np.ndarray, references: dict[str, np.ndarray]) -> str:
    return min(references, key=lambda name: float(np.linalg.norm(references[name] - colour)))


def colour_references(scene: Scene) -> dict[str, np.ndarray]:
    """The mean figure colour of the scene's picture, had it each of the palette's colours."""
    found = {}
    for name in COLOURS:
        other = dataclasses.replace(scene, figures=tuple(dataclasses.replace(f, colour=name) for f in scene.figures))
        found[name] = look(render(other), paint_background(scene)).colour
    return found


def nearest_ground(frame: np.ndarray, scene: Scene) -> str:
    """The background's name for which the frame has the most pixels of ground."""
    grounds = {name: paint_background(dataclasses.replace(scene, background=name)) for name in BACKGROUNDS}
    return max(grounds, key=lambda name: int((np.linalg.norm(frame - grounds[name], axis=-1) < SAME_GROUND).sum()))


def alignment(frames: np.ndarray, scene: Scene) -> dict[str, float]:
    """Shares of frames whose figure colour, ground and size are those of the scene's picture; "all": all three at
    once."""
    wanted = look(render(scene), paint_background(scene))
    references = colour_references(scene)
    rows = []
    for frame, seen in zip(frames, looks(frames, scene)):
        colour = (
            seen.area > 0
            and nearest_name(seen.colour, references) == scene.figures[0].colour
            and np.linalg.norm(seen.colour - wanted.colour) < SAME_COLOUR
        )
        ground = seen.ground_error < SAME_GROUND and nearest_ground(frame / 255.0, scene) == scene.background
        size = SIZES[0] <= seen.area / wanted.area <= SIZES[1]
        rows.append((colour, ground, size, colour and ground and size))
    return dict(zip(("colour", "ground", "size", "all"), np.mean(rows, axis=0).tolist()))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB of two uint8 pictures."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def track(frames: np.ndarray, scene: Scene) -> np.ndarray:
    """The figure's displacement from frame 0, [F, 2] pixels; a frame without figure keeps the last place."""
    places, last = [], np.array([f"{scene.figures[0].x}", f"{scene.figures[0].y}"], float)
    for seen in looks(frames, scene):
        last = last if np.isnan(seen.centroid).any() else seen.centroid
        places.append(last)
    return np.array(places) - places[0]


def tracks(frames: np.ndarray, scene: Scene) -> list[np.ndarray]:
    """Each figure's displacement from frame 0, [F, 2] pixels: its pixels are those of the figures that are nearest to
    its colour; a frame without any keeps the last place. For scenes drawn flat, whose figures have different
    colours."""
    background = paint_background(scene)
    colours = np.array([COLOURS[figure.colour] for figure in scene.figures]) / 255.0
    ys, xs = np.mgrid[: frames.shape[1], : frames.shape[2]] + 0.5
    places = [[np.array([figure.x, figure.y])] for figure in scene.figures]
    for frame in frames / 255.0:
        nearest = np.linalg.norm(frame[..., None, :] - colours, axis=-1).argmin(-1)
        for number, known in enumerate(places):
            mask = figure_mask(frame, background) & (nearest == number)
            known.append(np.array([xs[mask].mean(), ys[mask].mean()]) if mask.any() else known[-1])
    return [np.array(known[1:]) - known[1] for known in places]


def direction(path: np.ndarray) -> str:
    """The word for the farthest displacement of a track."""
    dx, dy = path[np.linalg.norm(path, axis=1).argmax()]
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def mean_displacement(path: np.ndarray) -> float:
    """Mean distance from frame 0 over the frames after it, pixels."""
    return float(np.linalg.norm(path[1:], axis=1).mean())


def return_ratio(path: np.ndarray) -> float:
    """Distance of the last frame from the first relative to the largest excursion."""
    distances = np.linalg.norm(path, axis=1)
    return float(distances[-1] / max(distances.max(), 1e-9))


def coherence(frames: np.ndarray, scene: Scene) -> dict[str, float]:
    """How far frames jump: second difference of the track (pixels), and mean change of the figure's colour from frame
    to frame (RGB L2)."""
    seen = looks(frames, scene)
    path = track(frames, scene)
    jerk = np.linalg.norm(path[2:] - 2 * path[1:-1] + path[:-2], axis=1).mean()
    colours = np.array([s.colour for s in seen])
    return {"jerk": float(jerk), "flicker": float(np.linalg.norm(np.diff(colours, axis=0), axis=1).mean())}


def affinity_correlation(clips: list[np.ndarray], requested: list[np.ndarray], scale: AffinityScale) -> float:
    """Spearman's rank correlation over all frames of some clips of one picture, condition frame 0 left out."""
    measured = np.concatenate(
        [scale.affinity(frame_distances(clip, 0, None)[None], [0])[0].numpy()[1:] for clip in clips]
    )
    if np.ptp(measured) == 0:  # nothing moves: no correlation
        return 0.0
    return float(spearmanr(measured, np.concatenate([r[1:] for r in requested])).statistic)


def in_style(frame: np.ndarray, scene: Scene, style: str) -> bool:
    """Whether the frame is more like the scene drawn in `style` than drawn flat, the figure where it fits best near its
    centroid."""
    bright = (frame.max(-1) > 150).astype(float)
    ys, xs = np.mgrid[: len(frame), : len(frame)] + 0.5
    total = max(bright.sum(), 1.0)
    centre = ((xs * bright).sum() / total, (ys * bright).sum() / total)
    return best_error(frame, scene, style, centre) < best_error(frame, scene, "flat", centre)


def best_error(frame: np.ndarray, scene: Scene, style: str, centre: tuple[float, float]) -> float:
    figure = scene.figures[0]
    errors = []
    for dx in (-3, 0, 3):
        for dy in (-3, 0, 3):
            placed = dataclasses.replace(figure, x=centre[0] + dx, y=centre[1] + dy)
            picture = render(dataclasses.replace(scene, figures=(placed,), style=style))
            errors.append(float(np.mean((picture - frame / 255.0) ** 2)))
    return min(errors)
