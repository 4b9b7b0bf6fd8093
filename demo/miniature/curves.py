"""Draw the logs of a work folder: `python -m demo.miniature.curves --work DIR --out curves.png` (needs matplotlib)."""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

from .net import MODELS
from .personalise import PERSONALISED
from .pia import ABLATIONS

Curve = tuple[list[float], list[float]]


def own_log(path: Path) -> dict[str, Curve]:
    """Steps and values per name, from a log of `training_log.Run`."""
    found: dict[str, Curve] = defaultdict(lambda: ([], []))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["name"]][0].append(float(row["step"]))
            found[row["name"]][1].append(float(row["value"]))
    return found


def trainer_log(path: Path, window: int = 50) -> Curve:
    """Steps and mean loss over `window` steps, from a log of lib_pia.training."""
    with path.open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    ends = range(window, len(losses) + 1, window)
    return [float(end) for end in ends], [sum(losses[end - window : end]) / window for end in ends]


def panels(work: Path) -> dict[str, dict[str, Curve]]:
    """What to draw: panel title -> curve name -> curve; only runs that exist."""
    found: dict[str, dict[str, Curve]] = {}
    if (work / "vae" / "log.csv").exists():
        found["VAE, PSNR on held-out pictures (dB)"] = {"psnr": own_log(work / "vae" / "log.csv")["psnr"]}
    for title, names in {"text to image, weighted eps loss": ["base", "refine", "straight"], "personalised, weighted eps loss": PERSONALISED}.items():
        logs = {name: own_log(work / name / "log.csv")["loss"] for name in names if (work / name / "log.csv").exists()}
        found |= {title: logs} if logs else {}
    groups = {"PIA on the frozen base, weighted eps loss": ("motion", "short", "condition"),
              "PIA and base together, weighted eps loss": ("joint", "settle", "follow"),
              "PIA on the straight base, frozen": ("steer", "polish", "again", *ABLATIONS)}  # fmt: skip
    for title, names in groups.items():
        logs = {name: trainer_log(work / name / "log.csv") for name in names if (work / name / "log.csv").exists()}
        found |= {title: logs} if logs else {}
    return found


def main(arguments: list[str] | None = None) -> int:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(prog="python -m demo.miniature.curves", description="Draw the logs of a work folder.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=MODELS / "curves.png")
    options = parser.parse_args(arguments)
    drawn = panels(options.work)
    figure, axes = pyplot.subplots(1, len(drawn), figsize=(4.2 * len(drawn), 3.2), squeeze=False)
    for axis, (title, curves) in zip(axes[0], drawn.items()):
        for name, (steps, values) in curves.items():
            axis.plot(steps, values, label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step")
        if "VAE" not in title:
            axis.set_yscale("log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(options.out, dpi=80)
    return 0


if __name__ == "__main__":
    sys.exit(main())
