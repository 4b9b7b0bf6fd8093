"""From frame distances to affinities, by the percentiles of the data set that is trained on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lib_pia.affinity import WEBVID_PERCENTILES, scaled_affinity
from lib_pia.errors import TrainingError

PERCENTILES = (2.5, 97.5)  # paper, section 3.2: the ends of the distances' distribution


@dataclasses.dataclass(frozen=True)
class AffinityScale:
    """(low, high) of the frame distance, one pair for each number of frames between a frame and the condition frame,
    from 0 on. The last pair holds beyond the end."""

    percentiles: tuple[tuple[float, float], ...] = WEBVID_PERCENTILES

    @classmethod
    def measure(cls, samples: Iterable[tuple[Tensor, int]]) -> AffinityScale:
        """The scale of a data set. samples: (distances [F] of `lib_pia.affinity.frame_distances`, condition frame), of
        some hundred clips or so, all with the same F. TrainingError where nothing moves in any of them."""
        found: dict[int, list[float]] = {}
        for distances, condition_frame in samples:
            for frame, distance in enumerate(distances.tolist()):
                found.setdefault(abs(frame - condition_frame), []).append(distance)
        if not any(max(values) > 0 for values in found.values()):
            raise TrainingError(
                "No frame of any clip differs from another, so affinity cannot be measured; give clips in which "
                "something moves."
            )
        pairs: list[tuple[float, float]] = []
        for apart in range(max(found) + 1):  # where no sample had two frames that far apart: as the step before
            pairs.append(
                tuple(float(v) for v in np.percentile(found[apart], PERCENTILES)) if apart in found else pairs[-1]
            )
        return cls(tuple(pairs))

    def affinity(self, distances: Tensor, condition_frame: Tensor | Sequence[int]) -> Tensor:
        """distances [B, F], condition_frame [B] -> affinity [B, F] float32 in [0.2, 1], 1 at the condition frame."""
        return scaled_affinity(distances, condition_frame, self.percentiles)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps({"percentiles": self.percentiles}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> AffinityScale:
        """A saved scale; TrainingError where the file is none."""
        try:
            return cls(
                tuple((float(low), float(high)) for low, high in json.loads(Path(path).read_text())["percentiles"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            raise TrainingError(
                f'{path} is no affinity scale; it must be a JSON file with "percentiles": [[low, high], ...], as a run '
                "writes it."
            ) from None
