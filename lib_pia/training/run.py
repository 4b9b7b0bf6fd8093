"""A run on disk: options, log, state to go on from, and the trained weights."""
from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from lib_pia.errors import TrainingError
from lib_pia.model import PIAModel, official_state_dict

from .config import TrainConfig
from .trainer import StepReport, Trainer

WEIGHTS, STATE, LOG, OPTIONS = "pia.safetensors", "state.pt", "log.csv", "options.json"
FREE_TO_CHANGE = ("steps", "save_every", "keep_every")       # options that may differ when a run goes on
COLUMNS = [field.name for field in dataclasses.fields(StepReport)]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; it becomes `path` at the end of the block, and is deleted if the block fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_pia_model(model: PIAModel, path: Path) -> None:
    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in official_state_dict(model).items()}, temporary)


class RunFolder:
    """The files of a run in `path`: pia.safetensors (averaged weights in the official layout, the newest), pia-STEP.safetensors
    (`keep_every`), state.pt, log.csv (one row per step) and options.json."""

    def __init__(self, path: str | Path, config: TrainConfig) -> None:
        self.path, self.config = Path(path), config

    def start(self, trainer: Trainer, resume: bool) -> None:
        """Makes the folder, or lets `trainer` go on where the run in it was saved. TrainingError where there is a run and `resume` is
        off, or where it had other options."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / STATE).exists():
            return
        state = torch.load(self.path / STATE, map_location="cpu", weights_only=True)
        if not resume:
            raise TrainingError(f"{self.path} holds a run at step {state['step']}; resume it (--resume), or choose another folder.")
        for name, value in state["options"].items():
            now = getattr(self.config, name, None)
            if name not in FREE_TO_CHANGE and now != value:
                raise TrainingError(f"The run in {self.path} was started with {name} {value!r}, not {now!r}; go on with {value!r}, or "
                                    "choose another folder.")
        trainer.load_state_dict(state)

    def open_log(self, step: int) -> csv.DictWriter:
        """log.csv without the rows after `step`, ready to be written on."""
        path = self.path / LOG
        rows = []
        if step and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self._log = path.open("w", newline="")
        writer = csv.DictWriter(self._log, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        return writer

    def close_log(self) -> None:
        self._log.close()

    def save(self, trainer: Trainer) -> None:
        """Writes the weights, then the state: a run that is stopped in between goes on from the state before."""
        self._log.flush()
        model = trainer.exported()
        (self.path / OPTIONS).write_text(json.dumps(dataclasses.asdict(self.config), indent=1) + "\n")
        save_pia_model(model, self.path / WEIGHTS)
        if self.config.keep_every and trainer.step % self.config.keep_every == 0:
            save_pia_model(model, self.path / f"pia-{trainer.step:07d}.safetensors")
        with replacing(self.path / STATE) as temporary:
            torch.save({**trainer.state_dict(), "options": dataclasses.asdict(self.config)}, temporary)


def train(trainer: Trainer, out: str | Path, *, resume: bool = False, progress: bool = True,
          on_step: Callable[[StepReport], None] | None = None) -> Path:
    """Trains up to `config.steps` and gives the path of the weights, OUT/pia.safetensors. With several processes all call it; the first
    one writes. `on_step` is called after every step in every process (a validation, a curve)."""
    config, processes = trainer.config, trainer.processes
    folder = RunFolder(out, config)
    folder.start(trainer, resume)
    processes.wait()
    log = folder.open_log(trainer.step) if processes.is_first else None
    bar = tqdm(total=config.steps, initial=trainer.step, unit="step", disable=not (progress and processes.is_first))
    try:
        while trainer.step < config.steps:
            report = trainer.train_step()
            bar.update()
            bar.set_postfix(loss=f"{report.loss:.4f}")
            if log:
                log.writerow(dataclasses.asdict(report))
                if _is_due(report.step, config):
                    folder.save(trainer)
            if on_step:
                on_step(report)
    finally:
        bar.close()
        if log:
            folder.close_log()
    processes.wait()
    return folder.path / WEIGHTS


def _is_due(step: int, config: TrainConfig) -> bool:
    every = [n for n in (config.save_every, config.keep_every) if n]
    return step == config.steps or any(step % n == 0 for n in every)
