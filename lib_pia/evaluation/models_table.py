"""models.yaml: which checkpoint of the WebUI plays each model of the bench. The user edits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from .errors import EvaluationError

HEAD = """\
# Which checkpoint of your WebUI plays each model of the bench. Edit, then start the run again.
#   checkpoint  its title in the WebUI, or any part of the title that only one has; empty: this model is left out
#   trigger     words put before every prompt
#   lora        put behind every prompt, as in the WebUI: <lora:name:0.8>
"""


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """One model of the bench in this WebUI."""

    checkpoint: str = ""
    trigger: str = ""
    lora: str = ""

    def prompt(self, text: str) -> str:
        """The bench's prompt as the checkpoint wants it."""
        return " ".join(
            part for part in (f"{self.trigger.rstrip(', ')}, {text}" if self.trigger else text, self.lora) if part
        )


def read_table(file: Path, models: Iterable[str]) -> dict[str, ModelEntry]:
    """The table's entry of every model in `models`; an empty one where it has none. Raises EvaluationError."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EvaluationError(
            f"{file} cannot be read ({str(error).splitlines()[0]}); correct it, or delete it to get a new one."
        ) from None
    if not isinstance(values, dict):
        raise EvaluationError(f"{file} is not a table of models; correct it, or delete it to get a new one.")
    return {model: _entry(file, model, values.get(model)) for model in models}


def _entry(file: Path, model: str, given: object) -> ModelEntry:
    if given is None or isinstance(given, str):
        return ModelEntry(given or "")
    names = [field.name for field in dataclasses.fields(ModelEntry)]
    if not isinstance(given, dict) or not set(given) <= set(names):
        raise EvaluationError(
            f"{file}: the entry of {model} is {given!r}; it must have {', '.join(names)} and nothing else."
        )
    return ModelEntry(**{name: str(given.get(name) or "").strip() for name in names})


def write_table(file: Path, models: Iterable[str], checkpoints: Mapping[str, str]) -> None:
    """A new table; `checkpoints` fills in what is known of a model's checkpoint."""
    entries = {model: {"checkpoint": checkpoints.get(model, ""), "trigger": "", "lora": ""} for model in models}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(HEAD + yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"{file} cannot be written ({error.strerror}); name another file with --models."
        ) from None
