"""One training run on disk: a folder with a resumable checkpoint and a CSV log."""

import csv
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch

from lib_pia.files import replacing

ROWS = 50  # steps whose mean makes a row of the log


def trapezoid(step: int, steps: int, warmup: int = 0, fall: float = 0.25) -> float:
    """A learning-rate factor: linear warm-up, constant, and linear to 0 over the last `fall` of the steps."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1, steps * fall))


class Run:
    """Counts steps, writes `log.csv`, and every `every` seconds a checkpoint from which the same command goes on. Of
    several processes one `writes`."""

    def __init__(self, folder: Path, every: float = 120.0, writes: bool = True):
        self.folder, self.every, self.writes, self.minutes = Path(folder), every, writes, 0.0
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "checkpoint.pt"
        self._values: dict[str, list[float]] = defaultdict(list)

    def steps(self, steps: int, **parts) -> Iterator[int]:
        """Yield the steps still to do; `parts` (modules, optimizers: anything with a state_dict) are saved and
        restored."""
        first, before = 0, 0.0
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            for name, part in parts.items():
                part.load_state_dict(state["parts"][name])
            first, before = state["step"], state["minutes"]
            torch.set_rng_state(state["rng"])
        began = saved = time.monotonic()
        self.minutes = before
        for step in range(first, steps):
            yield step
            self.minutes = before + (time.monotonic() - began) / 60
            if self.writes and (time.monotonic() - saved > self.every or step == steps - 1):
                self._save(step + 1, parts)
                saved = time.monotonic()

    def _save(self, step: int, parts) -> None:
        state = {"step": step, "minutes": self.minutes, "rng": torch.get_rng_state()}
        state["parts"] = {name: part.state_dict() for name, part in parts.items()}
        with replacing(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def log(self, step: int, **values: float) -> None:
        """Note values of a step; every `ROWS` steps their means become rows: step, minutes, name, value."""
        if not self.writes:
            return
        for name, value in values.items():
            self._values[name].append(value)
        if (step + 1) % ROWS:
            return
        means = {name: f"{sum(noted) / len(noted):.5g}" for name, noted in self._values.items()}
        self._values.clear()
        with (self.folder / "log.csv").open("a", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(["step", "minutes", "name", "value"])
            writer.writerows([step + 1, round(self.minutes, 2), name, mean] for name, mean in means.items())
        sys.stdout.write(f"{self.folder.name} {step + 1}: {' '.join(f'{n}={v}' for n, v in means.items())}\n")
        sys.stdout.flush()
