"""One training run on disk: a folder with a resumable checkpoint and a CSV log."""

import csv
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch


def cosine(step: int, steps: int, warmup: int = 0, floor: float = 0.02) -> float:
    """A learning-rate factor: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def trapezoid(step: int, steps: int, warmup: int = 0, fall: float = 0.25) -> float:
    """A learning-rate factor: linear warm-up, constant, and linear to 0 over the last `fall` of the steps."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1, steps * fall))


class Run:
    """Counts steps, writes `log.csv`, and every `every` seconds a checkpoint from which the same command goes on."""

    def __init__(self, folder: Path, every: float = 120.0):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.every = every
        self.minutes = 0.0
        self.silent = False  # of several processes all but the first neither write nor save
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._notes: dict[str, float] = {}

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def steps(self, steps: int, **parts) -> Iterator[int]:
        """Yield the steps still to do; `parts` (modules, optimizers: anything with a state_dict) are saved and restored."""
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
            if time.monotonic() - saved > self.every or step == steps - 1:
                self._save(step + 1, parts)
                saved = time.monotonic()

    def _save(self, step: int, parts) -> None:
        if self.silent:
            return
        state = {"step": step, "minutes": self.minutes, "rng": torch.get_rng_state()}
        state["parts"] = {name: part.state_dict() for name, part in parts.items()}
        torch.save(state, self.checkpoint.with_suffix(".tmp"))
        os.replace(self.checkpoint.with_suffix(".tmp"), self.checkpoint)

    def save_copy(self, name: str, part: torch.nn.Module) -> None:
        """Keep a module's present state beside the checkpoint."""
        torch.save(part.state_dict(), self.folder / name)

    def log(self, step: int, every: int = 50, **values: float) -> None:
        """Average the values over `every` steps, then write a row."""
        for name, value in values.items():
            self._sums[name].append(value)
        if (step + 1) % every == 0:
            self._write(step + 1, {n: sum(v) / len(v) for n, v in self._sums.items()} | self._notes)
            self._sums.clear()
            self._notes = {}

    def note(self, step: int, **values: float) -> None:
        """A measurement that goes into the next row."""
        self._notes |= values

    def _write(self, step: int, row: dict[str, float]) -> None:
        if self.silent:
            return
        path = self.folder / "log.csv"
        row = {"step": step, "minutes": round(self.minutes, 2)} | {n: f"{v:.5g}" for n, v in row.items()}
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            for name, value in row.items():
                if name not in ("step", "minutes"):
                    if new:
                        writer.writerow(["step", "minutes", "name", "value"])
                        new = False
                    writer.writerow([row["step"], row["minutes"], name, value])
        sys.stdout.write(" ".join(f"{n}={v}" for n, v in row.items()) + "\n")
        sys.stdout.flush()
