"""What a `run` was asked for, and what became of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

MODELS = "models.yaml"


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
