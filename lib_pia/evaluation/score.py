"""Measures runs: a table with intervals, every clip's numbers as CSV and JSON, and a page with all clips."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from tqdm import tqdm

from lib_pia.errors import MediaError

from .answer import frames_of
from .clip_features import MAX_TOKENS, ClipFeatures
from .errors import EvaluationError
from .intervals import Estimate, bootstrap_mean
from .measures import CLIP_KEYS, FLOW_KEYS, MEASURES, PAPER, PAPER_CLIPS, PAPER_NOTE, clip_measures, pixel_measures
from .run_folder import FinishedClip, RunFolder

WITHOUT = "none"


@dataclasses.dataclass
class MethodScores:
    """One run: its method's name, its clips by name, and by name what was measured of each."""

    name: str
    clips: dict[str, FinishedClip]
    values: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def estimate(self, key: str) -> Estimate | None:
        known = [row[key] for row in self.values.values() if row.get(key) is not None]
        return bootstrap_mean(known) if known else None


def read_runs(folders: list[Path], say: Callable[[str], None]) -> list[MethodScores]:
    """The runs with their finished clips; says what only some have. Raises EvaluationError where one has none."""
    methods: list[MethodScores] = []
    for folder in folders:
        run = RunFolder(folder)
        name = str(run.described()["method"])
        if any(method.name == name for method in methods):
            name = f"{name} ({folder.resolve().name})"
        methods.append(MethodScores(name, {clip.name: clip for clip in run.finished()}))
        if not methods[-1].clips:
            raise EvaluationError(f"{folder} has no finished clip yet; let `run` make some first.")
    every = set().union(*(method.clips for method in methods))
    for method in methods:
        if lacking := len(every - method.clips.keys()):
            say(
                f"{method.name} lacks {lacking} of {len(every)} clips that another run has; its means are over its own."
            )
    return methods


def score_runs(
    folders: list[Path], clip: str, out: Path, say: Callable[[str], None], device: str | None = None
) -> None:
    """Writes scores.csv, scores.json and index.html with its clips into `out`, and the table to the standard output."""
    from .score_page import write_page

    methods = read_runs(folders, say)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    features = _features(clip, device, note)
    for method in methods:
        _measure(method, features, note)
    _note_limits(methods, note)
    table = text_table(methods)
    shown = [*notes, PAPER_NOTE] if "paper:" in table else notes
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "scores.csv").write_text(as_csv(methods), encoding="utf-8", newline="")
        results = json.dumps(as_json(methods, clip, notes), indent=1, ensure_ascii=False)
        (out / "scores.json").write_text(results + "\n", encoding="utf-8")
        write_page(methods, shown, out)
    except OSError as error:
        raise EvaluationError(f"{out} cannot be written ({error.strerror}); choose another --out.") from None
    sys.stdout.write("\n\n".join([table, *shown[len(notes) :], f"{out / 'index.html'} shows all clips."]) + "\n")


def _note_limits(methods: list[MethodScores], note: Callable[[str], None]) -> None:
    """Says what was cut, and what could not be measured."""
    rows = [row for method in methods for row in method.values.values()]
    if cut := {row["prompt"] for row in rows if row["text_cut"]}:
        note(f"{len(cut)} prompts are longer than CLIP's {MAX_TOKENS} tokens and were cut there, as CLIP does.")
    if any(row[key] is None for row in rows for key in FLOW_KEYS):
        note("Warp error and motion need OpenCV (pip install opencv-python-headless); they are left out.")


def _features(clip: str, device: str | None, note: Callable[[str], None]) -> ClipFeatures | None:
    if clip == WITHOUT:
        return None
    try:
        return ClipFeatures.load(clip, device)
    except EvaluationError as error:
        note(f"{error} The alignments are left out.")
        return None


def _measure(method: MethodScores, features: ClipFeatures | None, note: Callable[[str], None]) -> None:
    for name, clip in tqdm(method.clips.items(), desc=method.name, unit="clip", file=sys.stderr):
        try:
            frames = frames_of(clip.file)
            with Image.open(clip.picture) as image:
                picture = ImageOps.exif_transpose(image).convert("RGB")
        except (MediaError, OSError) as error:
            note(f"{method.name}, {name}: it cannot be read ({error}); it is left out.")
            continue
        prompt = clip.record["prompt"]
        row = {
            "model": clip.record["model"],
            "picture": clip.record["picture"],
            "prompt_number": clip.record["prompt_number"],
            "prompt": prompt,
            "text_cut": features is not None and features.is_cut(prompt),
        }
        row |= clip_measures(features, frames, picture, prompt) if features else dict.fromkeys(CLIP_KEYS)
        method.values[name] = row | pixel_measures(frames)
    if not method.values:
        raise EvaluationError(f"No clip of {method.name} can be read; make them again.")


def table_rows(methods: list[MethodScores]) -> list[list[str]]:
    """Heading, number of clips, a row per measure; with CLIP's, the paper's figures in columns that say so."""
    paper = PAPER if any(method.estimate(CLIP_KEYS[0]) for method in methods) else {}
    rows = [
        ["", *(method.name for method in methods), *(f"paper: {name}" for name in paper)],
        ["clips", *(str(len(method.values)) for method in methods), *(str(PAPER_CLIPS) for _ in paper)],
    ]
    for measure in MEASURES:
        found = [method.estimate(measure.key) for method in methods]
        if any(found):
            shown = [estimate.shown(measure.decimals) if estimate else "" for estimate in found]
            printed = [f"{figures[measure.key]:.2f}" if measure.key in figures else "" for figures in paper.values()]
            rows.append([measure.title, *shown, *printed])
    return rows


def text_table(methods: list[MethodScores]) -> str:
    rows = table_rows(methods)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def as_csv(methods: list[MethodScores]) -> str:
    """One line per clip."""
    text = io.StringIO()
    columns = ["method", "clip", "model", "picture", "prompt_number", "prompt", "text_cut", *(m.key for m in MEASURES)]
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for method in methods:
        for name, row in method.values.items():
            writer.writerow({"method": method.name, "clip": name, **row})
    return text.getvalue()


def as_json(methods: list[MethodScores], clip: str, notes: list[str]) -> dict[str, Any]:
    found = {}
    for method in methods:
        estimates = {measure.key: estimate for measure in MEASURES if (estimate := method.estimate(measure.key))}
        found[method.name] = {
            "summary": {key: dataclasses.asdict(estimate) for key, estimate in estimates.items()},
            "clips": method.values,
        }
    return {
        "clip_model": clip,
        "interval": "95 %, bootstrap over clips",
        "measures": {m.key: m.text for m in MEASURES},
        "methods": found,
        "paper": {"source": "arXiv 2312.13964, table 1", "note": PAPER_NOTE, "figures": PAPER},
        "notes": notes,
    }
