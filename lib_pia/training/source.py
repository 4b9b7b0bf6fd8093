"""Training clips from a folder: which frames, which condition frame, which affinity, and their latents."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from lib_pia.affinity import frame_distances
from lib_pia.errors import TrainingError

from .objective import SOURCE, ClipBatch, draw
from .scale import AffinityScale
from .store import DataOptions, FrameStore

POSTERIOR = SOURCE + 1  # purpose of the draws for the VAE's posterior
SCALE_FACTOR = 0.18215  # Stable Diffusion 1.x (v1-inference.yaml scale_factor)
ENCODED_AT_ONCE = 16
STATISTICS_WINDOWS = 96  # that the percentiles are taken from, at most
WINDOWS_PER_CLIP = 8  # the same


class Encoders(Protocol):
    """What turns pictures and captions into what the UNet eats."""

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels [N, 3, H, W] in [-1, 1] -> mean and standard deviation [N, 4, H/8, W/8] of the VAE's posterior, not
        scaled."""

    def encode_text(self, texts: list[str]) -> Tensor:
        """[N, 77, D]"""


@dataclasses.dataclass(frozen=True)
class Window:
    """Sample number n before it is encoded: frames [F, H, W, 3] uint8."""

    frames: np.ndarray
    caption: str
    condition_frame: int
    moments: tuple[np.ndarray, np.ndarray] | None = None  # of the VAE, [F, 4, h, w] each, where they are cached


def _crop(frames: np.ndarray, size: tuple[int, int] | None, rng: np.random.Generator | None) -> np.ndarray:
    """The middle of [F, H, W, 3], or a place drawn from `rng`."""
    if size is None:
        return frames
    spare = frames.shape[1] - size[1], frames.shape[2] - size[0]
    top, left = (int(rng.integers(s + 1)) if rng else s // 2 for s in spare)
    return frames[:, top : top + size[1], left : left + size[0]]


def as_pixels(frames: np.ndarray) -> Tensor:
    """[F, H, W, 3] uint8 -> [F, 3, H, W] in [-1, 1]."""
    return rearrange(torch.from_numpy(np.array(frames)), "f h w c -> f c h w").float() / 127.5 - 1


class FolderClips:
    """A `ClipSource` over a FrameStore. Clips come in a new order in every pass; the window, the crop and the condition
    frame are drawn.

    The affinity is measured on the window itself, after the crop (upstream dataset.py). `ahead` is how many samples lie
    between one call and the next (batch size times processes): the next call's clips are measured in `workers` threads
    while this call's train.
    """

    def __init__(
        self, store: FrameStore, options: DataOptions, encoders: Encoders, seed: int, ahead: int = 0, workers: int = 2
    ) -> None:
        self.store, self.options, self.encoders, self.seed, self.ahead = store, options, encoders, seed, ahead
        self.scale = AffinityScale()
        self._pool = ThreadPoolExecutor(workers)
        self._waiting: dict[int, Future] = {}
        self._null: Tensor | None = None
        self.cached = False

    def clip_index(self, number: int) -> int:
        """Which clip sample `number` is of: each clip once per pass, shuffled anew."""
        total = len(self.store.clips)
        order = np.random.default_rng([self.seed, number // total]).permutation(total)
        return int(order[number % total])

    def window(self, number: int) -> Window:
        """Sample `number`: F frames of its clip, and the condition frame, uniform over them."""
        clip = self.store.clips[self.clip_index(number)]
        frames, rng = self.store.frames(clip), draw(self.seed, number)
        stride, last_start = self.options.reach(len(frames))
        start = int(rng.integers(last_start + 1))
        places = slice(start, start + stride * (self.options.num_frames - 1) + 1, stride)
        chosen = frames[places]
        condition_frame = int(rng.integers(self.options.num_frames))
        chosen = _crop(chosen, self.options.size, rng if self.options.crop == "random" else None)
        if self.options.flip and rng.random() < 0.5:
            chosen = chosen[:, :, ::-1]
        cached = self.store.moments(clip) if self.cached else None
        moments = None if cached is None else tuple(np.array(part) for part in np.split(cached[places], 2, axis=1))
        return Window(np.array(chosen), clip.caption, condition_frame, moments)

    def use_cached_latents(self, write: bool = True, progress: bool = True) -> None:
        """From now on the VAE's moments come from the store, where `write` puts those of every frame first. Takes the
        middle of the frames; TrainingError with a random crop or with flips."""
        if self.options.crop == "random" or self.options.flip:
            raise TrainingError(
                "Cached latents are of the middle of the frames; leave out --cache-latents, or --crop random "
                "and --flip."
            )
        for clip in (
            tqdm(self.store.clips, "Encoding clips", unit="clip", disable=not (progress and write)) if write else ()
        ):
            self.store.store_moments(clip, self._moments_of)
        self.cached = True

    def _moments_of(self, frames: np.ndarray) -> np.ndarray:
        """[N, 8, h, w] float32: mean and deviation of each frame."""
        frames = _crop(frames, self.options.size, None)
        parts = [
            torch.cat(self.encoders.moments(as_pixels(frames[i : i + ENCODED_AT_ONCE])), dim=1).cpu().float()
            for i in range(0, len(frames), ENCODED_AT_ONCE)
        ]
        return torch.cat(parts).numpy()

    def measure_scale(self, progress: bool = True) -> AffinityScale:
        """The data set's percentiles, from windows spread over all clips; each is measured from its first and from its
        last frame, so that every distance in time is seen equally often from both ends."""

        def measured(number: int) -> list[tuple[Tensor, int]]:
            frames = self.window(number).frames
            return [(frame_distances(frames, end), end) for end in (0, self.options.num_frames - 1)]

        windows = min(STATISTICS_WINDOWS, WINDOWS_PER_CLIP * len(self.store.clips))
        pairs = tqdm(
            self._pool.map(measured, range(windows)), "Measuring motion", windows, unit="clip", disable=not progress
        )
        return AffinityScale.measure(sample for pair in pairs for sample in pair)

    def _measured(self, number: int) -> tuple[Window, Tensor]:
        window = self.window(number)
        return window, frame_distances(window.frames, window.condition_frame)

    def _start(self, number: int) -> Future:
        return self._waiting.pop(number, None) or self._pool.submit(self._measured, number)

    def __call__(self, first: int, count: int) -> ClipBatch:
        numbers = range(first, first + count)
        futures = [self._start(number) for number in numbers]
        if self.ahead:
            self._waiting = {
                number + self.ahead: self._pool.submit(self._measured, number + self.ahead) for number in numbers
            }
        windows, distances = zip(*(future.result() for future in futures))
        condition_frame = torch.tensor([window.condition_frame for window in windows])
        if self._null is None:
            self._null = self.encoders.encode_text([""])[0]
        return ClipBatch(
            latents=self._latents(windows, first),
            text=self.encoders.encode_text([window.caption for window in windows]),
            null_text=self._null,
            affinity=self.scale.affinity(torch.stack(distances), condition_frame),
            condition_frame=condition_frame,
        )

    def _latents(self, windows: tuple[Window, ...], first: int) -> Tensor:
        """[B, F, 4, h, w]: a draw from the VAE's posterior, times 0.18215."""
        latents = []
        for offset, window in enumerate(windows):
            mean, deviation = (
                map(torch.from_numpy, window.moments)
                if window.moments
                else self.encoders.moments(as_pixels(window.frames))
            )
            noise = draw(self.seed, first + offset, POSTERIOR).standard_normal(tuple(mean.shape), dtype=np.float32)
            latents.append((mean + deviation * torch.from_numpy(noise).to(mean.device)) * SCALE_FACTOR)
        return torch.stack(latents)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
