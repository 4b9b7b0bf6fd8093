"""Making the clips of a run: a thread per server, and one that shows progress."""

from __future__ import annotations

import base64
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from lib_pia.errors import PIAError

from .answer import answer_of
from .errors import EvaluationError
from .jobs import Job, Jobs
from .method import Method
from .run_folder import RunFolder
from .run_options import Outcome, RunOptions
from .server import Refused, Server, ServerGone


class Making:
    """Makes `jobs` on the servers of a call; fills `outcome` meanwhile, and gives `say` the sentences for the user."""

    def __init__(
        self, options: RunOptions, method: Method, outcome: Outcome, jobs: Jobs, say: Callable[[str], None]
    ) -> None:
        self.options, self.method, self.outcome, self.jobs, self.say = options, method, outcome, jobs, say
        self.folder = RunFolder(options.out)
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()

    def __call__(self, servers: list[Server]) -> None:
        """A thread per server; this one shows progress and stays able to hear Ctrl+C."""
        threads = [threading.Thread(target=self._serve, args=(server,), daemon=True) for server in servers]
        try:
            with tqdm(
                total=len(self.jobs.waiting) + self.outcome.kept,
                initial=self.outcome.kept,
                unit="clip",
                file=sys.stderr,
            ) as bar:
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads) or not self.events.empty():
                    self._next_event(bar)
        finally:
            self.jobs.stop()
        self.outcome.left = len(self.jobs.waiting)

    def _next_event(self, bar: tqdm) -> None:
        try:
            kind, value = self.events.get(timeout=0.2)
        except queue.Empty:
            return
        if kind == "made":
            self.outcome.made += 1
            bar.update()
        elif kind == "failed":
            name, why = value
            self.outcome.failed[name] = why
            self.say(f"{name}: {why}")
            bar.update()
        elif kind == "note":
            self.say(value)
        else:
            raise value

    def _serve(self, server: Server) -> None:
        try:
            while (job := self.jobs.take(server.name)) is not None:
                if not self._one(server, job):
                    return
        except BaseException as error:  # the main thread must hear of it
            self.events.put(("error", error))
            self.jobs.stop()

    def _one(self, server: Server, job: Job) -> bool:
        """One clip on one server; False when the server is gone."""
        try:
            self._save(server, job)
        except ServerGone as error:
            if not self.jobs.give_back(server.name):
                why = f"servers stopped answering while they made it, the last one {server.name}."
                self.events.put(("failed", (job.clip.name, why)))
            if self._comes_back(server):
                return True
            sentence = (
                f"{server.name} does not answer any more ({error}); its clips go to the others, if there are any."
            )
            self.events.put(("note", sentence))
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
        self.jobs.done(server.name)
        return True

    def _save(self, server: Server, job: Job) -> None:
        started = time.monotonic()
        checkpoint = self.jobs.checkpoints[server.name][job.clip.model]
        request = self.method.fill(
            {**job.values, "picture": base64.b64encode(job.clip.picture_file.read_bytes()).decode()}
        )
        request["override_settings"] = {**request.get("override_settings", {}), "sd_model_checkpoint": checkpoint.title}
        answer = answer_of(server.post(f"/sdapi/v1/{self.method.endpoint}", request), self.method)
        used = answer.info.get("sd_model_name")
        if used and used != checkpoint.stem:
            raise Refused(f"it used the checkpoint {used} instead of {checkpoint.stem}")
        if self.jobs.stopped:
            return
        shown = {
            **self.method.fill({**job.values, "picture": "(the picture)"}),
            "override_settings": request["override_settings"],
        }
        record = {
            "seed": job.values["seed"],
            "fingerprint": job.fingerprint,
            "server": server.name,
            "checkpoint": checkpoint.title,
            "seconds": round(time.monotonic() - started, 2),
            "request": shown,
        }
        self.folder.save(job.clip, answer, record, self.method.fps)

    def _comes_back(self, server: Server) -> bool:
        """Whether the server answers again before the patience is over."""
        end = time.monotonic() + self.options.patience
        while not self.jobs.stopped:
            if server.is_alive():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(min(2.0, self.options.patience / 10))
        return False
