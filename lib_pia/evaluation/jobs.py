"""Who makes which clip: a list shared by the servers' threads, from which no clip is lost and none is made twice."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from .bench import BenchClip
from .server import Checkpoint

LIVES = 3  # a clip during which so many servers went away is not tried again


@dataclasses.dataclass
class Job:
    """A clip to make: what fills the method's placeholders, but for the picture, which is read when its turn comes."""

    clip: BenchClip
    values: dict[str, Any]
    fingerprint: str
    lives: int = LIVES


class Jobs:
    """`take` gives a server its next clip, of the model that it has loaded if possible, since loading takes long."""

    def __init__(self, jobs: list[Job], checkpoints: dict[str, dict[str, Checkpoint]]) -> None:
        self.waiting = list(jobs)
        self.checkpoints = checkpoints  # by server, by model
        self.being_made: dict[str, Job] = {}
        self.loaded: dict[str, str] = {}  # model by server
        self.stopped = False
        self._changed = threading.Condition()

    def take(self, server: str) -> Job | None:
        """The server's next clip; waits while one may still come back; None when nothing is left for it."""
        with self._changed:
            while not self.stopped:
                mine = [job for job in self.waiting if job.clip.model in self.checkpoints[server]]
                if mine:
                    job = self._best(server, mine)
                    self.waiting.remove(job)
                    self.being_made[server] = job
                    return job
                if not any(job.clip.model in self.checkpoints[server] for job in self.being_made.values()):
                    return None
                self._changed.wait(0.2)
            return None

    def _best(self, server: str, mine: list[Job]) -> Job:
        """One of the model that the server has loaded, else of the model with the most clips that nobody else is at."""
        same = [job for job in mine if job.clip.model == self.loaded.get(server)]
        if not same:
            elsewhere = {model for other, model in self.loaded.items() if other != server}
            counts: dict[str, int] = {}
            for job in mine:
                counts[job.clip.model] = counts.get(job.clip.model, 0) + 1
            model = max(counts, key=lambda name: (name not in elsewhere, counts[name]))
            same = [job for job in mine if job.clip.model == model]
        self.loaded[server] = same[0].clip.model
        return same[0]

    def done(self, server: str) -> None:
        with self._changed:
            self.being_made.pop(server)
            self._changed.notify_all()

    def give_back(self, server: str) -> bool:
        """The clip goes to another server, or again to this one; False when it has gone wrong too often."""
        with self._changed:
            job = self.being_made.pop(server)
            job.lives -= 1
            if job.lives > 0:
                self.waiting.insert(0, job)
            self._changed.notify_all()
            return job.lives > 0

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
