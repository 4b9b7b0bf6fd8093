"""Clips that are longer than the frames the model knows: which windows are computed, in which order, and from what.

A chain's windows go on from each other: the frames that a window shares with one that is made already are given to it
as they are, and its condition image is the one of them that is nearest to its new frames. That is a situation of
training, which drew the condition frame from the whole window (open-mmlab/PIA 73f06d7, dataset.py).
Distances between frames beyond a table's end take its last value: the affinity saturates with distance there.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .affinity import TABLES, affinity_scores, frame_index, resample_curve
from .settings import PIASettings
from .settings_fields import MAX_WINDOW

FADE = 2  # own choice, by `bench beyond`: the power with which known frames give way; 1 leaves a step at the new frames


@dataclasses.dataclass(frozen=True)
class Window:
    """Frames `start` .. `start + length - 1`, computed together. Local indices count from `start`.

    known: local indices of the frames that are made already. condition_frame: local index of the frame that equals the
    condition image. of_picture: whether that image is the clip's picture, not one of the known frames.
    """

    start: int
    length: int
    known: tuple[int, ...]
    condition_frame: int
    of_picture: bool

    @property
    def frames(self) -> slice:
        """The window's place in the clip."""
        return slice(self.start, self.start + self.length)


def window_starts(num_frames: int, window: int, overlap: int) -> list[int]:
    """Where windows begin: every `window - overlap` frames; the last one ends with the clip and may overlap more, so
    that all have the same length and the beginning of a clip does not depend on how long it is."""
    starts = list(range(0, max(num_frames - window, 0) + 1, window - overlap))
    if starts[-1] + window < num_frames:
        starts.append(num_frames - window)
    return starts


def plan_chain(
    num_frames: int, window: int, overlap: int, condition_frame: int = 0, known: int = 0
) -> tuple[Window, ...]:
    """The windows of a chain in the order of making: first the one that holds `condition_frame` (0..num_frames-1), then
    those after it, then those before it, backwards. With `known` > 0 the first `known` frames are given, and the chain
    goes on from them."""
    starts = window_starts(num_frames, window, overlap)
    length = min(window, num_frames)
    first = 0 if known else next(i for i, start in enumerate(starts) if start <= condition_frame < start + length)
    made, windows = set(range(known)), []
    for i in (*range(first, len(starts)), *reversed(range(first))):
        here = tuple(f for f in range(length) if starts[i] + f in made)
        of_picture = not here
        nearest = condition_frame - starts[i] if of_picture else here[-1] if i >= first else here[0]
        windows.append(Window(starts[i], length, here, nearest, of_picture))
        made |= set(range(starts[i], starts[i] + length))
    return tuple(windows)


def kept(settings: PIASettings, window: Window, given: int = 0, remade: int = 0) -> Tensor:
    """How far each frame of a window stays what is made already, [length]: 1 as it is, 0 all new.

    The last frames of a window are its weakest, and a cut beside them shows. So the `overlap` known frames beside the
    new ones are made again together with these, and stay the less the nearer they are to them. The clip's first `given`
    frames, less the last `remade` of them, and its pictures stay as they are.
    """
    pictures = (settings.condition_frame, *(picture.frame for picture in settings.pictures))
    fixed = {*range(given - remade), *(frame % settings.num_frames + given for frame in pictures)}
    new = [f for f in range(window.length) if f not in window.known]
    out = torch.zeros(window.length)
    for frame in window.known:
        away = min((abs(frame - n) for n in new), default=window.length)
        out[frame] = 1.0 if window.start + frame in fixed else min(1.0, away / settings.overlap_frames) ** FADE
    return out


def plan(settings: PIASettings, known: int = 0) -> tuple[Window, ...]:
    """The windows of a clip of `known` given frames and `settings.num_frames` new ones: a single one where they fit,
    and in a slide, whose windows (`plan_slide`) are made together."""
    frames = settings.num_frames + known
    if settings.is_long and settings.longer == "slide":
        start = frame_index(settings.condition_frame, frames)
        return (Window(0, frames, (), start, True),)
    length = frames if frames <= (settings.window or MAX_WINDOW) else settings.window_frames
    start = frame_index(settings.condition_frame, settings.num_frames)
    return plan_chain(frames, length, min(settings.overlap_frames, length - 1), start, known)


def plan_slide(settings: PIASettings) -> tuple[tuple[int, ...], ...]:
    """The frames of each window of a slide. A loop's windows go on over its end into its beginning."""
    frames, length, overlap = settings.num_frames, settings.window_frames, settings.overlap_frames
    if settings.motion != "loop":
        return tuple(tuple(range(start, start + length)) for start in window_starts(frames, length, overlap))
    starts = range(0, frames, length - overlap)
    return tuple(tuple((start + f) % frames for f in range(length)) for start in starts)


def pyramid(length: int) -> Tensor:
    """The weight of each frame of a window where windows are averaged: 1 at its ends, most in its middle, [length]."""
    places = torch.arange(length)
    return torch.minimum(places + 1, length - places).float()


def _around(num_frames: int, condition_frame: int, magnitude: str) -> Tensor:
    """The affinity of a loop of several windows, [num_frames]: the first half of the loop's table at the distance from
    the condition frame around the loop, its last value held."""
    away = TABLES["loop"][magnitude][: len(TABLES["loop"][magnitude]) // 2]
    distances = [min(d := abs(frame - condition_frame), num_frames - d) for frame in range(num_frames)]
    return torch.tensor([away[min(d, len(away) - 1)] for d in distances])


def window_affinity(settings: PIASettings, window: Window, known: int = 0) -> Tensor:
    """The affinity of a window's frames, [length] float32 in [0, 1].

    The motion's table at the distance from the window's condition frame or, where that is more, from one of the
    clip's further pictures. A curve counts over the whole clip's new
    frames, and is 1 where a known frame is the condition image. Windows that go on from known frames have the style of
    `style_transfer` already, so that they take the tables of `animate`.
    """
    s = settings
    if s.affinity is not None:
        curve = resample_curve(s.affinity, s.num_frames)
        places = (torch.arange(window.start, window.start + window.length) - known).clamp(min=0)
        scores = curve[places]
        own = 1 if window.of_picture else 0  # the picture's own frame is what the curve says
        scores[places_of_pictures(s, window, known)[own:]] = 1.0
        return scores
    motion = "animate" if s.motion == "style_transfer" and not window.of_picture else s.motion
    if motion == "loop" and s.is_long:
        return _around(window.length, window.condition_frame, s.magnitude)
    places = places_of_pictures(s, window, known)
    return torch.stack([affinity_scores(window.length, place, motion, s.magnitude) for place in places]).amax(0)


def places_of_pictures(settings: PIASettings, window: Window, known: int = 0) -> list[int]:
    """Local indices of the frames that equal a condition image: the window's condition frame, then those of
    `settings.pictures` that the window makes."""
    further = [picture.frame % settings.num_frames + known - window.start for picture in settings.pictures]
    new = [place for place in further if 0 <= place < window.length and place not in window.known]
    return [window.condition_frame, *new]


def clip_affinity(settings: PIASettings, known: int = 0) -> Tensor:
    """The affinity with which each new frame of the clip is made, [num_frames]."""
    scores = torch.ones(settings.num_frames + known)
    for window in plan(settings, known):
        new = [f for f in range(window.length) if f not in window.known]
        scores[window.frames][new] = window_affinity(settings, window, known)[new]
    return scores[known:]
