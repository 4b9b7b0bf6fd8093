"""Reading AnimateBench: which picture is animated with which prompt by which model.

Layout of the data set (`ymzhang319/AnimateBench`): `configs/<model>.yaml`, `img/<model>/{1..5}.png|jpg`. A config is
laid out like the `example/config/*.yaml` of open-mmlab/PIA: `prompts` (one list per picture), `n_prompt`,
`validation_data.input_name`, `validation_data.validation_input_path`, `generate.db_path`. What cannot be read is noted,
and the rest is used.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import EvaluationError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
KNOWN_KEYS = {
    "base",
    "prompts",
    "n_prompt",
    "validation_data",
    "generate",
    "pretrained_model_path",
    "noise_scheduler_kwargs",
    "unet_additional_kwargs",
}


@dataclasses.dataclass(frozen=True)
class BenchClip:
    """One clip to make. `picture` and `prompt_number` count from 1."""

    model: str
    picture: int
    prompt_number: int
    picture_file: Path
    prompt: str
    negative: str = ""

    @property
    def name(self) -> str:
        return f"{self.model}/{self.picture}-{self.prompt_number}"


@dataclasses.dataclass
class Bench:
    """The clips in order, what was not understood, and by model the checkpoint's file name that its config gives."""

    folder: Path
    clips: list[BenchClip]
    notes: list[str]
    checkpoints: dict[str, str]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(clip.model for clip in self.clips))


def read_bench(folder: str | Path) -> Bench:
    """Everything in the folder that can be animated. Raises EvaluationError where there is nothing."""
    folder = Path(folder)
    files = sorted(file for pattern in ("*.yaml", "*.yml") for file in (folder / "configs").rglob(pattern))
    if not files:
        raise EvaluationError(
            f"{folder} has no configs/<model>.yaml; give the folder of AnimateBench (the data set "
            "ymzhang319/AnimateBench on Hugging Face)."
        )
    bench = Bench(folder, [], [], {})
    for file in files:
        _Config(bench, file).read()
    if not bench.clips:
        raise EvaluationError(f"Nothing in {folder} can be animated. {' '.join(bench.notes)}")
    return bench


def natural(path: Path) -> list[Any]:
    """Sort key: 2.png comes before 10.png."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name)]


def pictures_in(folder: Path) -> list[Path]:
    return sorted((file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES), key=natural)


class _Config:
    """One file of `configs`."""

    def __init__(self, bench: Bench, file: Path) -> None:
        self.bench, self.file = bench, file
        self.name = file.relative_to(bench.folder).as_posix()

    def note(self, text: str) -> None:
        self.bench.notes.append(f"{self.name}: {text}")

    def read(self) -> None:
        try:
            values = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            return self.note(f"it cannot be read ({str(error).splitlines()[0]}); its clips are left out.")
        if not isinstance(values, dict):
            return self.note("it is not a table of settings; its clips are left out.")
        if unknown := sorted(str(key) for key in values if key not in KNOWN_KEYS):
            self.note(f"{', '.join(unknown)} was not understood and is ignored.")
        lists = self._prompt_lists(values.get("prompts"))
        pictures = self._pictures(values.get("validation_data"), len(lists)) if lists else []
        if pictures:
            self._add(pictures, lists, self._negatives(values.get("n_prompt"), len(lists)))
            self._hint(values.get("generate"))
        return None

    def _prompt_lists(self, prompts: Any) -> list[list[str]]:
        """One list of prompts per picture."""
        if isinstance(prompts, str):
            prompts = [prompts]
        if not isinstance(prompts, list) or not prompts:
            self.note("it has no prompts; its clips are left out.")
            return []
        if all(isinstance(prompt, str) for prompt in prompts):
            prompts = [prompts]
        lists = []
        for number, part in enumerate(prompts, 1):
            texts = [part] if isinstance(part, str) else part if isinstance(part, list) else []
            lists.append([text.strip() for text in texts if isinstance(text, str) and text.strip()])
            if not lists[-1] or len(lists[-1]) != len(texts):
                self.note(f"prompts of picture {number} are not all texts; the others are used.")
        return lists

    def _negatives(self, negatives: Any, count: int) -> list[str]:
        given = [negatives] if isinstance(negatives, str) else negatives if isinstance(negatives, list) else []
        texts = [text for text in given if isinstance(text, str)]
        if len(texts) not in (1, count) and (texts or negatives is not None):
            self.note(f"n_prompt holds {len(texts)} texts for {count} pictures; the last one is used for the rest.")
        return [*texts, *(texts[-1:] or [""]) * count][:count]

    def _roots(self, given: str) -> Iterator[Path]:
        """Folders in which the config's pictures may be, the likeliest first."""
        folder = self.bench.folder
        for root in (
            folder / given,
            folder / "img" / Path(given).name,
            folder / "img" / self.file.stem,
            folder / "img",
            folder,
        ):
            if root.is_dir():
                yield root

    def _pictures(self, data: Any, wanted: int) -> list[Path]:
        """The pictures that the config names, in the order of its lists of prompts."""
        data = data if isinstance(data, dict) else {}
        names = data.get("input_name")
        names = [str(name) for name in (names if isinstance(names, list) else [names]) if name is not None]
        roots = list(dict.fromkeys(self._roots(str(data.get("validation_input_path") or ""))))
        for root in roots:
            found = [picture for name in names if (picture := _picture(root, name))]
            if names and len(found) == len(names) and (len(found) > 1 or wanted == 1):
                return found
        for root in [root / name for root in roots for name in names] + roots:
            if root.is_dir() and (found := pictures_in(root)):
                return found
        self.note(f"no picture {', '.join(names) or '(input_name is missing)'} was found; its clips are left out.")
        return []

    def _add(self, pictures: list[Path], lists: list[list[str]], negatives: list[str]) -> None:
        if len(pictures) != len(lists):
            self.note(
                f"it has {len(lists)} lists of prompts for {len(pictures)} pictures; they are paired from the first "
                "on, and the rest is left out."
            )
        model, known = self._model(pictures[0]), {clip.name for clip in self.bench.clips}
        for position, (picture, prompts, negative) in enumerate(zip(pictures, lists, negatives), 1):
            number = int(picture.stem) if picture.stem.isdigit() else position
            for prompt_number, prompt in enumerate(prompts, 1):
                clip = BenchClip(model, number, prompt_number, picture, prompt, negative)
                if clip.name in known:
                    self.note(f"{clip.name} is in another config already; this one is left out.")
                else:
                    self.bench.clips.append(clip)

    def _model(self, picture: Path) -> str:
        """The folder of the pictures inside img/, or the config's name."""
        inside = picture.parent.relative_to(self.bench.folder).parts if self.bench.folder in picture.parents else ()
        return inside[1] if len(inside) > 1 and inside[0] == "img" else self.file.stem

    def _hint(self, generate: Any) -> None:
        path = generate.get("db_path") if isinstance(generate, dict) else None
        if isinstance(path, str) and path.strip():
            self.bench.checkpoints.setdefault(self.bench.clips[-1].model, re.split(r"[/\\]", path)[-1])


def _picture(root: Path, name: str) -> Path | None:
    exact = root / name
    if exact.suffix.lower() in SUFFIXES and exact.is_file():
        return exact
    return next((file for suffix in SUFFIXES if (file := root / f"{name}{suffix}").is_file()), None)
