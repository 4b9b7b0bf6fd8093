"""Makes every clip of a bench with one method, on one or more running WebUIs."""

from __future__ import annotations

import base64
import dataclasses
import io
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from tqdm import tqdm

from lib_pia.errors import PIAError

from .answer import answer_of
from .bench import Bench, BenchClip, read_bench
from .errors import EvaluationError
from .jobs import Job, Jobs
from .method import Method, load_method
from .models_table import ModelEntry, read_table, write_table
from .run_folder import RunFolder, fingerprint
from .server import Checkpoint, Refused, Server, ServerGone, find_checkpoint

MODELS = "models.yaml"
CELL = 8  # px per latent cell; sides are cut to a multiple (open-mmlab/PIA, util.py `preprocess_img`)
PICTURE_STEP, PROMPT_STEP = 1000, 100  # seeds of a clip's frames follow each other; those of two clips must not meet


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """`size`: longest side in px. `models`: the table; None: in the bench's folder. `timeout`, `patience`: seconds that
    a clip may take, and that a silent server has to come back."""

    bench: Path
    out: Path
    urls: tuple[str, ...]
    method: str = "pia"
    models: Path | None = None
    seed: int = 0
    size: int = 512
    timeout: float = 3600
    patience: float = 60

    @property
    def table(self) -> Path:
        return self.models or self.bench / MODELS


@dataclasses.dataclass
class Outcome:
    """Clips `made` now, `kept` from before, `left` by all servers; why one `failed`, by name; models `missing`."""

    made: int = 0
    kept: int = 0
    left: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not (self.left or self.failed or self.missing)


def size_of(picture: bytes, longest: int) -> tuple[int, int]:
    """(width, height) to animate a picture at. Raises OSError where it is none."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        width, height = ImageOps.exif_transpose(image).size
    scale = min(1.0, longest / max(width, height))
    return tuple(max(CELL, int(side * scale) // CELL * CELL) for side in (width, height))


def seed_of(clip: BenchClip, first: int) -> int:
    """The same for every model and method, different for every clip of a model."""
    return first + PICTURE_STEP * (clip.picture - 1) + PROMPT_STEP * (clip.prompt_number - 1)


class Run:
    """One `run` command. `say` takes the sentences for the user."""

    def __init__(self, options: RunOptions, say: Callable[[str], None]) -> None:
        self.options, self.say = options, say
        self.method: Method = load_method(options.method)
        self.folder = RunFolder(options.out)
        self.outcome = Outcome()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()

    def __call__(self) -> Outcome:
        bench = read_bench(self.options.bench)
        for note in bench.notes:
            self.say(note)
        is_new = not self.options.table.exists()
        if is_new:
            write_table(self.options.table, bench.models, bench.checkpoints)
        self.entries = read_table(self.options.table, bench.models)
        self.servers = {server.name: (server, known) for server, known in self._servers()}
        checkpoints = self._checkpoints(bench, is_new)
        self.folder.begin(
            {
                "method": self.method.name,
                "bench": self.options.bench.resolve().name,
                "settings": {"seed": self.options.seed, "size": self.options.size, "request": self.method.request},
            }
        )
        jobs = Jobs(self._jobs(bench), checkpoints)
        if jobs.waiting:
            self._make(jobs)
        return self.outcome

    # ---- before anything is made

    def _servers(self) -> list[tuple[Server, list[Checkpoint]]]:
        """The WebUIs that answer and have what the method needs."""
        found, wrong = [], []
        for url in dict.fromkeys(self.options.urls):
            server = Server(url, self.options.timeout)
            try:
                missing = [
                    title for title in self.method.needs if title.lower() not in server.scripts(self.method.endpoint)
                ]
                if missing:
                    wrong.append(
                        f"{server.name} has no extension {' and no '.join(missing)} in {self.method.endpoint}; "
                        "install it there and restart that WebUI."
                    )
                else:
                    found.append((server, server.checkpoints()))
            except ServerGone as error:
                wrong.append(f"{server.name} does not answer ({error}); start the WebUI with --api, or correct --url.")
            except (Refused, KeyError, AttributeError, TypeError) as error:
                wrong.append(f"{server.name} cannot be used: {error}.")
        if not found:
            raise EvaluationError(" ".join(wrong))
        for sentence in wrong:
            self.say(sentence)
        return found

    def _checkpoints(self, bench: Bench, is_new: bool) -> dict[str, dict[str, Checkpoint]]:
        """By server, by model; says which models no server has."""
        table = {
            name: {
                model: checkpoint
                for model, entry in self.entries.items()
                if (checkpoint := find_checkpoint(entry.checkpoint, known))
            }
            for name, (_, known) in self.servers.items()
        }
        playable = set().union(*table.values())
        self.outcome.missing = [model for model in bench.models if model not in playable]
        file = self.options.table
        if self.outcome.missing and (is_new or not playable):
            known = sorted({checkpoint.title for _, rows in self.servers.values() for checkpoint in rows})
            raise EvaluationError(
                f"{file} {'was written' if is_new else 'names no checkpoint that is there'}; give the checkpoint of "
                f"{', '.join(self.outcome.missing)} in it and run this again. There are: {', '.join(known)}."
            )
        for model in self.outcome.missing:
            clips = sum(clip.model == model for clip in bench.clips)
            self.say(
                f"No WebUI has the checkpoint {self.entries[model].checkpoint!r} that {file} gives for {model}; "
                f"its {clips} clips are left out."
            )
        return table

    def _jobs(self, bench: Bench) -> list[Job]:
        """The clips that are still to be made."""
        jobs, again = [], 0
        for clip in bench.clips:
            if clip.model in self.outcome.missing:
                continue
            try:
                job = self._job(clip, self.entries[clip.model])
            except (OSError, ValueError, Image.DecompressionBombError):
                self._fail(clip.name, f"the picture {clip.picture_file} cannot be read; use a PNG or JPEG file.")
                continue
            if self.folder.is_finished(clip, job.fingerprint):
                self.outcome.kept += 1
            else:
                again += self.folder.has_record(clip)
                jobs.append(job)
        if again:
            self.say(f"{again} finished clips are made again, since their settings, picture or prompt are others now.")
        return jobs

    def _job(self, clip: BenchClip, entry: ModelEntry) -> Job:
        picture = clip.picture_file.read_bytes()
        width, height = size_of(picture, self.options.size)
        values = {
            "prompt": entry.prompt(clip.prompt),
            "negative": clip.negative,
            "seed": seed_of(clip, self.options.seed),
            "width": width,
            "height": height,
        }
        request = self.method.fill({**values, "picture": ""}) | {"checkpoint": entry.checkpoint}
        return Job(clip, values, fingerprint(request, picture))

    def _fail(self, name: str, why: str) -> None:
        self.outcome.failed[name] = why
        self.say(f"{name}: {why}")

    # ---- making

    def _make(self, jobs: Jobs) -> None:
        """A thread per server; this one shows progress and stays able to hear Ctrl+C."""
        threads = [
            threading.Thread(target=self._serve, args=(jobs, server), daemon=True)
            for server, _ in self.servers.values()
        ]
        try:
            with tqdm(
                total=len(jobs.waiting) + self.outcome.kept, initial=self.outcome.kept, unit="clip", file=sys.stderr
            ) as bar:
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads) or not self.events.empty():
                    self._next_event(bar)
        finally:
            jobs.stop()
        self.outcome.left = len(jobs.waiting)

    def _next_event(self, bar: tqdm) -> None:
        try:
            kind, value = self.events.get(timeout=0.2)
        except queue.Empty:
            return
        if kind == "made":
            self.outcome.made += 1
            bar.update()
        elif kind == "failed":
            self._fail(*value)
            bar.update()
        elif kind == "note":
            self.say(value)
        else:
            raise value

    def _serve(self, jobs: Jobs, server: Server) -> None:
        try:
            while (job := jobs.take(server.name)) is not None:
                if not self._one(jobs, server, job):
                    return
        except BaseException as error:  # the main thread must hear of it
            self.events.put(("error", error))
            jobs.stop()

    def _one(self, jobs: Jobs, server: Server, job: Job) -> bool:
        """One clip on one server; False when the server is gone."""
        try:
            self._save(jobs, server, job)
        except ServerGone as error:
            if not jobs.give_back(server.name):
                self.events.put(
                    (
                        "failed",
                        (job.clip.name, f"servers stopped answering while they made it, the last one {server.name}."),
                    )
                )
            if self._comes_back(jobs, server):
                return True
            self.events.put(
                (
                    "note",
                    f"{server.name} does not answer any more ({error}); its clips go to the others, if there are any.",
                )
            )
            return False
        except (Refused, PIAError) as error:
            self.events.put(("failed", (job.clip.name, f"{server.name} did not make it: {error}")))
        except OSError as error:
            raise EvaluationError(
                f"{self.options.out} cannot be written ({error.strerror or error}); make room, and run this again: "
                "finished clips are kept."
            ) from error
        else:
            self.events.put(("made", job.clip.name))
        jobs.done(server.name)
        return True

    def _save(self, jobs: Jobs, server: Server, job: Job) -> None:
        started = time.monotonic()
        checkpoint = jobs.checkpoints[server.name][job.clip.model]
        request = self.method.fill(
            {**job.values, "picture": base64.b64encode(job.clip.picture_file.read_bytes()).decode()}
        )
        request["override_settings"] = {**request.get("override_settings", {}), "sd_model_checkpoint": checkpoint.title}
        answer = answer_of(server.post(f"/sdapi/v1/{self.method.endpoint}", request), self.method)
        used = answer.info.get("sd_model_name")
        if used and used != checkpoint.stem:
            raise Refused(f"it used the checkpoint {used} instead of {checkpoint.stem}")
        if jobs.stopped:
            return
        shown = {
            **self.method.fill({**job.values, "picture": "(the picture)"}),
            "override_settings": request["override_settings"],
        }
        self.folder.save(
            job.clip,
            answer,
            {
                "seed": job.values["seed"],
                "fingerprint": job.fingerprint,
                "server": server.name,
                "checkpoint": checkpoint.title,
                "seconds": round(time.monotonic() - started, 2),
                "request": shown,
            },
            self.method.fps,
        )

    def _comes_back(self, jobs: Jobs, server: Server) -> bool:
        """Whether the server answers again before the patience is over."""
        end = time.monotonic() + self.options.patience
        while not jobs.stopped:
            if server.is_alive():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(min(2.0, self.options.patience / 10))
        return False
