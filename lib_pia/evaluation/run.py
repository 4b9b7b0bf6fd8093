"""Makes every clip of a bench with one method, on one or more running WebUIs."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageOps

from .bench import Bench, BenchClip, read_bench
from .errors import EvaluationError
from .jobs import Job, Jobs
from .making import Making
from .method import Method, load_method
from .models_table import ModelEntry, read_table, write_table
from .run_folder import RunFolder, fingerprint
from .run_options import Outcome, RunOptions
from .server import Checkpoint, Refused, Server, ServerGone, find_checkpoint

CELL = 8  # px per latent cell; sides are cut to a multiple (open-mmlab/PIA, util.py `preprocess_img`)
PICTURE_STEP, PROMPT_STEP = 1000, 100  # seeds of a clip's frames follow each other; those of two clips must not meet


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
            making = Making(self.options, self.method, self.outcome, jobs, self.say)
            making([server for server, _ in self.servers.values()])
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
