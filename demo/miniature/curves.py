"""Draw the logs of a work folder: `python -m demo.miniature.curves --work DIR --out curves.png` (needs matplotlib)."""

import argparse
import csv
import sys
from pathlib import Path

from .lora import PERSONALISED
from .net import MODELS
from .pia import COMPARED
from .training_log import ROWS

PANELS = {
    "VAE, PSNR on held-out pictures (dB)": ["vae"],
    "text to image, weighted eps loss": ["base"],
    "PIA on the frozen base, weighted eps loss": ["motion", "condition"],
    "ablations, weighted eps loss": list(COMPARED),
    "personalised, weighted eps loss": list(PERSONALISED),
}


def curve(path: Path) -> tuple[list[float], list[float]]:
    """Steps and values of a log: the PSNR, or the loss where there is none; of lib_pia.training means over some
    steps."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if "name" in rows[0]:
        wanted = "psnr" if any(row["name"] == "psnr" for row in rows) else "loss"
        pairs = [(float(row["step"]), float(row["value"])) for row in rows if row["name"] == wanted]
        return tuple(map(list, zip(*pairs)))
    losses = [float(row["loss"]) for row in rows]
    ends = range(ROWS, len(losses) + 1, ROWS)
    return [float(end) for end in ends], [sum(losses[end - ROWS : end]) / ROWS for end in ends]


def panels(work: Path) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """What to draw: panel title -> curve name -> curve; only runs that exist."""
    found = {
        title: {name: curve(path) for name in names if (path := work / name / "log.csv").exists()}
        for title, names in PANELS.items()
    }
    return {title: curves for title, curves in found.items() if curves}


def main(arguments: list[str] | None = None) -> int:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(prog="python -m demo.miniature.curves", description="Draw the logs of a folder.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=MODELS / "curves.png")
    options = parser.parse_args(arguments)
    drawn = panels(options.work)
    figure, axes = pyplot.subplots(1, len(drawn), figsize=(4.2 * len(drawn), 3.2), squeeze=False)
    for axis, (title, curves) in zip(axes[0], drawn.items()):
        for name, (steps, values) in curves.items():
            axis.plot(steps, values, label=name)
        axis.set(title=title, xlabel="step", yscale="linear" if "PSNR" in title else "log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(options.out, dpi=80)
    return 0


if __name__ == "__main__":
    sys.exit(main())
