"""Decoded clips on disk: every clip is read, checked and resized once, before training starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lib_pia.errors import TrainingError
from lib_pia.files import replacing
from lib_pia.motion_module import MAX_FRAMES

from .clips import ClipFile, read_frames

MULTIPLE = 64  # px: the VAE divides by 8, the UNet by 8 again (v1-inference.yaml: three downsamplings)
INDEX = "clips.json"


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """How clips become training clips.

    num_frames: F. stride: source frames from one frame to the next; less where a clip is too short for it (upstream:
    4).
    size: (width, height) in px, multiples of 64: clips are resized to cover it, then cropped; None: clips keep the size
    they have.
    crop: "center" or "random". flip: mirror half of the clips (upstream does; it makes captions with left and right
    wrong).
    max_frames: frames taken of each clip; a longer one is thinned evenly.
    """

    num_frames: int = 16
    stride: int = 4
    size: tuple[int, int] | None = None
    crop: str = "center"
    flip: bool = False
    max_frames: int = 1024

    def __post_init__(self) -> None:
        if not 2 <= self.num_frames <= MAX_FRAMES:
            raise TrainingError(
                f"frames is {self.num_frames}; it must be from 2 to {MAX_FRAMES}, the length of PIA's position "
                "encoding."
            )
        if self.stride < 1:
            raise TrainingError(f"stride is {self.stride}; it must be 1 or more.")
        if self.crop not in ("center", "random"):
            raise TrainingError(f"crop is {self.crop!r}; it must be center or random.")
        if self.max_frames < self.num_frames:
            raise TrainingError(
                f"max frames is {self.max_frames}; it must be at least {self.num_frames}, the length of a "
                "training clip."
            )
        for side in self.size or ():
            if side < MULTIPLE or side % MULTIPLE:
                raise TrainingError(
                    f"resolution is {self.size[0]}x{self.size[1]}; both sides must be multiples of {MULTIPLE}."
                )

    def reach(self, num_source_frames: int) -> tuple[int, int]:
        """(stride, last possible start) in a clip of that many frames."""
        stride = min(self.stride, (num_source_frames - 1) // (self.num_frames - 1))
        return stride, num_source_frames - 1 - stride * (self.num_frames - 1)


@dataclasses.dataclass(frozen=True)
class StoredClip:
    """A clip in the store: its frames are FILE, [N, H, W, 3] uint8."""

    name: str
    caption: str
    file: str


def cover_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) scaled so that it just covers `size`."""
    scale = max(size[0] / width, size[1] / height)
    return max(size[0], round(width * scale)), max(size[1], round(height * scale))


def check_frames(clip: ClipFile, frames: Sequence[Image.Image], options: DataOptions) -> None:
    """TrainingError where a clip is too short, or has a size that cannot be trained without a resolution."""
    if len(frames) < options.num_frames:
        raise TrainingError(
            f"{clip.name} has {len(frames)} frames; training clips of {options.num_frames} need at least as "
            "many, so take it out or lower --frames."
        )
    width, height = frames[0].size
    if options.size is None and (width % MULTIPLE or height % MULTIPLE):
        raise TrainingError(
            f"{clip.name} is {width}x{height}, which is no multiple of {MULTIPLE}; give --resolution, to which "
            "clips are resized and cropped."
        )


class FrameStore:
    """The decoded clips of a data set in a folder. `prepare` fills it; what is there already and unchanged is not
    decoded again.
    vae_name: tells the latents of different VAEs apart."""

    def __init__(self, folder: str | Path, vae_name: str = "latents") -> None:
        self.folder, self.vae_name = Path(folder), vae_name
        self.clips: list[StoredClip] = []

    def prepare(self, clips: Sequence[ClipFile], options: DataOptions, progress: bool = True) -> None:
        """Reads, checks and stores every clip; TrainingError naming the first that cannot be used."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sizes: dict[tuple[int, int], str] = {}
        self.clips = []
        for clip in tqdm(clips, "Reading clips", unit="clip", disable=not progress):
            file = self.folder / f"{_fingerprint(clip, options)}.npy"
            if not file.exists():
                self._store(clip, file, options)
            height, width = np.load(file, mmap_mode="r").shape[1:3]
            sizes.setdefault((width, height), clip.name)
            if options.size is None and len(sizes) > 1:
                (one, name), (other, other_name) = sizes.items()
                raise TrainingError(
                    f"{name} is {one[0]}x{one[1]}, but {other_name} is {other[0]}x{other[1]}; give "
                    "--resolution, to which all clips are resized and cropped."
                )
            self.clips.append(StoredClip(clip.name, clip.caption, file.name))
        with replacing(self.folder / INDEX) as temporary:
            temporary.write_text(json.dumps([dataclasses.asdict(clip) for clip in self.clips], indent=1) + "\n")

    def _store(self, clip: ClipFile, file: Path, options: DataOptions) -> None:
        frames = read_frames(clip, options.max_frames)
        check_frames(clip, frames, options)
        if options.size:
            target = cover_size(*frames[0].size, options.size)
            frames = [frame.resize(target, Image.Resampling.BICUBIC) for frame in frames]
        with replacing(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, np.stack([np.asarray(frame) for frame in frames]))

    def load(self) -> None:
        """Takes what another process has prepared."""
        self.clips = [StoredClip(**entry) for entry in json.loads((self.folder / INDEX).read_text())]

    def frames(self, clip: StoredClip) -> np.ndarray:
        """[N, H, W, 3] uint8, mapped from the disk."""
        return np.load(self.folder / clip.file, mmap_mode="r")

    def _moments_file(self, clip: StoredClip) -> Path:
        return (self.folder / clip.file).with_suffix(f".{self.vae_name}.npy")

    def moments(self, clip: StoredClip) -> np.ndarray:
        """[N, 8, h, w] float32 of `store_moments`, mapped from the disk."""
        return np.load(self._moments_file(clip), mmap_mode="r")

    def store_moments(self, clip: StoredClip, encode: Callable[[np.ndarray], np.ndarray]) -> None:
        """Keeps what `encode` makes of the clip's frames, unless it is there already."""
        file = self._moments_file(clip)
        if not file.exists():
            with replacing(file) as temporary, temporary.open("wb") as opened:
                np.save(opened, encode(self.frames(clip)))


def _fingerprint(clip: ClipFile, options: DataOptions) -> str:
    """Changes with the clip's file (size and time) and with what decoding depends on."""
    paths = [clip.path] if clip.path.is_file() else sorted(clip.path.iterdir())
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr((facts, options.size, options.max_frames)).encode()).hexdigest()[:24]
