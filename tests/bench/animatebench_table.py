"""The table of `bench animatebench`: what was measured over HTTP beside what `bench miniature` found in process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib_pia.evaluation.intervals import Estimate, bootstrap_mean, wilson

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, SECTION = ROOT / "docs" / "EVALUATION.md", "animatebench"
HEAD = ("model", "measure", "over HTTP", "in process", "agree")


@dataclasses.dataclass(frozen=True)
class Measure:
    """`key`: its name in the scores of `bench miniature`. `scale`: from those to what is shown. `is_share`: each clip
    has it or has it not, so that its interval is Wilson's."""

    name: str
    key: str
    scale: float
    is_share: bool = False

    def estimate(self, values: Sequence[float]) -> Estimate:
        if not self.is_share:
            return bootstrap_mean([value * self.scale for value in values])
        found = wilson(int(sum(values)), len(values))
        return Estimate(found.value * self.scale, found.low * self.scale, found.high * self.scale, found.count)


MEASURES = (
    Measure("alignment, %", "all", 100),
    Measure("direction, %", "direction", 100, is_share=True),
    Measure("condition frame, dB", "psnr", 1),
    Measure("jerk, px", "jerk", 1),
)


def agrees(found: Estimate, in_process: float, smallest: float) -> bool:
    """Whether the difference is within the noise of two such means, each with the interval of ours. One clip's worth
    counts as noise, since what no clip misses has no bootstrap interval."""
    return abs(found.value - in_process) <= max((found.high - found.low) / 2 * 2**0.5, smallest)


def table_rows(
    http: Mapping[str, Sequence[Sequence[float]]], in_process: Mapping[str, Mapping[str, float]]
) -> list[tuple[str, ...]]:
    """One row per model and measure. http: the clips' `MEASURES` by model. in_process: means by model; a model that
    `bench miniature` was not told of has none."""
    rows = []
    for model, clips in http.items():
        for column, measure in enumerate(MEASURES):
            ours = measure.estimate([clip[column] for clip in clips])
            theirs, mark = "", ""
            if measure.key in in_process.get(model, {}):
                value = in_process[model][measure.key] * measure.scale
                worth = measure.scale / len(clips) if measure.scale > 1 else 0.0
                theirs, mark = f"{value:.1f}", "yes" if agrees(ours, value, worth) else "NO"
            rows.append((model, measure.name, ours.shown(1), theirs, mark))
    return rows


def text_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (HEAD, *rows))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ("---",) * len(HEAD), *rows))
