"""A run on disk: options, log, state to go on from, and the trained weights."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lib_pia.checkpoint import save_pia_model
from lib_pia.errors import HostError, TrainingError
from lib_pia.files import replacing

from .config import TrainConfig
from .trainer import StepReport, Trainer

WEIGHTS, STATE, LOG, OPTIONS = "pia.safetensors", "state.pt", "log.csv", "options.json"
FREE_TO_CHANGE = ("steps", "save_every", "keep_every")  # options that may differ when a run goes on
COLUMNS = [field.name for field in dataclasses.fields(StepReport)]


def check_resume(path: Path, resume: bool) -> None:
    """TrainingError where there is a run in `path` that is not to be resumed."""
    if (path / STATE).exists() and not resume:
        raise TrainingError(f"{path} holds a run; go on with it (--resume), or choose another folder.")


class RunFolder:
    """The files of a run in `path`: pia.safetensors (averaged weights in the official layout, the newest),
    pia-STEP.safetensors (`keep_every`), state.pt, log.csv (one row per step) and options.json."""

    def __init__(self, path: str | Path, config: TrainConfig, described: Mapping[str, Any] | None = None) -> None:
        self.path, self.config = Path(path), config
        self.options = {**dataclasses.asdict(config), **(described or {})}

    def start(self, trainer: Trainer, resume: bool) -> None:
        """Makes the folder, or lets `trainer` go on where the run in it was saved. TrainingError where there is a run
        and `resume` is off, or where it had other options."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / STATE).exists():
            return
        check_resume(self.path, resume)
        state = self._read_state()
        for name, value in state["options"].items():
            now = self.options.get(name)
            if name not in FREE_TO_CHANGE and now != value:
                raise TrainingError(
                    f"The run in {self.path} was started with {name} {value!r}, not {now!r}; go on with {value!r}, or "
                    "choose another folder."
                )
        trainer.load_state_dict(state)

    def _read_state(self) -> dict:
        try:
            return torch.load(self.path / STATE, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files fail in many ways
            raise TrainingError(
                f"{self.path / STATE} is damaged ({type(error).__name__}); start anew in another folder, from "
                f"the weights of this run (--init {self.path / WEIGHTS})."
            ) from None

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
        """Writes the weights, then the state: a run that is stopped in between goes on from the state before. HostError
        where the disk is full."""
        self._log.flush()
        model = trainer.exported()
        (self.path / OPTIONS).write_text(json.dumps(self.options, indent=1) + "\n")
        save_pia_model(model, self.path / WEIGHTS)
        if self.config.keep_every and trainer.step % self.config.keep_every == 0:
            save_pia_model(model, self.path / f"pia-{trainer.step:07d}.safetensors")
        try:
            with replacing(self.path / STATE) as temporary:
                torch.save({**trainer.state_dict(), "options": self.options}, temporary)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            raise HostError(
                f"{self.path / STATE} cannot be written ({str(error).splitlines()[0]}); make room and go on "
                "with --resume."
            ) from error


def train(
    trainer: Trainer,
    out: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    on_step: Callable[[StepReport], None] | None = None,
    described: Mapping[str, Any] | None = None,
) -> Path:
    """Trains up to `config.steps` and gives the path of the weights, OUT/pia.safetensors. With several processes all
    call it; the first one writes. `on_step` is called after every step in every process (a validation, a curve).
    `described`: what else the run depends on (plain values); it is kept with the options, and a run does not go on with
    others."""
    config, processes = trainer.config, trainer.processes
    folder = RunFolder(out, config, described)
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
