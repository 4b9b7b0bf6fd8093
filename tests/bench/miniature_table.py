"""The scores as rows (claim, measured, goal, reached) and as a text table."""

from __future__ import annotations

BASE = "base"
FULL_WITHOUT, REFERENCE = "without condition, full prompts", "reference"
WITH, WITHOUT = "with condition, prompts of motion alone", "without condition, prompts of motion alone"


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def rows_of(scores: dict) -> list[tuple[str, str, str, str]]:
    """The issue's table; a claim whose clips were not made has no row."""
    base = scores["models"][BASE]
    return [
        *_alignment(base),
        *_control(base),
        *_personalised(scores["models"]),
        *_condition(scores["condition"]),
        *_ablations(by_name(scores.get("compared", {}))),
        *_styles(scores["styles"]),
        *_composed(scores.get("composed", {})),
    ]


def by_name(compared: dict) -> dict[str, list[dict]]:
    """The scores of each ablation, one entry per seed; `compared` has keys such as onehot.1."""
    found: dict[str, list[dict]] = {}
    for key, scores in compared.items():
        found.setdefault(key.rsplit(".", 1)[0], []).append(scores)
    return found


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and standard error of the mean (0 of a single value)."""
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return mean, (spread / len(values)) ** 0.5


def row(claim: str, measured: str, goal: str, reached: bool) -> tuple[str, str, str, str]:
    return claim, measured, goal, "yes" if reached else "NO"


def _alignment(base: dict) -> list:
    parts = ", ".join(f"{key} {percent(base[key])}" for key in ("colour", "ground", "size"))
    return [
        row("image alignment, frames", f"{percent(base['all'])} ({parts})", ">= 95 %", base["all"] >= 0.95),
        row(
            "condition frame PSNR",
            f"{base['psnr']:.1f} dB (VAE alone {base['vae_psnr']:.1f})",
            ">= 28 dB",
            base["psnr"] >= 28,
        ),
    ]


def _control(base: dict) -> list:
    moved = [base[f"moved_{m}"] for m in ("small", "moderate", "large")]
    ratios = (moved[1] / moved[0], moved[2] / moved[1])
    sizes = " / ".join(f"{m:.1f}" for m in moved)
    return [
        row("direction follows the prompt", percent(base["direction"]), ">= 95 %", base["direction"] >= 0.95),
        row(
            "displacement small, moderate, large",
            f"{sizes} px (x{ratios[0]:.2f}, x{ratios[1]:.2f})",
            "each >= x1.3",
            min(ratios) >= 1.3,
        ),
        row("rank correlation of affinity", f"{base['affinity_rank']:.2f}", ">= 0.8", base["affinity_rank"] >= 0.8),
        row("loop: last frame / excursion", f"{base['loop']:.2f}", "<= 0.15", base["loop"] <= 0.15),
    ]


def _personalised(models: dict) -> list:
    base, rows = models[BASE], []
    for name, found in models.items():
        if name != BASE:
            gaps = {key: 100 * (base[key] - found[key]) for key in ("all", "direction")}
            text = (
                f"alignment {percent(found['all'])}, {found['psnr']:.1f} dB, direction {percent(found['direction'])}, "
            )
            text += " / ".join(f"{found[f'moved_{m}']:.1f}" for m in ("small", "moderate", "large"))
            text += f" px, rank {found['affinity_rank']:.2f}, loop {found['loop']:.2f}"
            rows.append(row(f"personalised: {name}", text, "within 10 points", max(gaps.values()) <= 10))
    return rows


def _condition(condition: dict) -> list:
    rows = []
    for name, found in condition.items():
        text = f"alignment {percent(found['all'])}, {found['psnr']:.1f} dB, jerk {found['jerk']:.2f} px, "
        text += f"flicker {found['flicker']:.3f}"
        if name == WITHOUT:
            rows.append(row(name, text, "30 points worse than with", condition[WITH]["all"] - found["all"] >= 0.3))
        else:
            rows.append((name, text, "(reference)", ""))
    return rows


def _ablations(compared: dict[str, list[dict]]) -> list:
    """Alignment or coherence is worse than the reference's by more than both standard errors together."""
    rows = []
    keys = ("all", "psnr", "jerk", "flicker")
    found = {name: {key: mean_and_error([s[key] for s in seeds]) for key in keys} for name, seeds in compared.items()}
    for name, means in found.items():
        (aligned, error), (jerk, jerk_error) = means["all"], means["jerk"]
        text = f"alignment {percent(aligned)} +- {percent(error)}, {means['psnr'][0]:.1f} dB, "
        text += (
            f"jerk {jerk:.2f} +- {jerk_error:.2f} px, flicker {means['flicker'][0]:.3f}, seeds: {len(compared[name])}"
        )
        if name == REFERENCE:
            rows.append(("full recipe, same steps", text, "(reference)", ""))
        elif REFERENCE in found:
            (best, best_error), (smooth, smooth_error) = found[REFERENCE]["all"], found[REFERENCE]["jerk"]
            worse = best - aligned > error + best_error or jerk - smooth > jerk_error + smooth_error
            rows.append(row(f"ablation: {name}", text, "worse beyond the errors", worse))
    return rows


def _styles(styles: dict) -> list:
    rows = []
    for name, found in styles.items():
        shares = [found[key] for key in ("usual", "small", "moderate", "large")]
        text = f"{percent(shares[0])} -> {' / '.join(percent(s) for s in shares[1:])}"
        rows.append(
            row(f"style transfer: {name}", text, ">= 90 %, rising", max(shares[1:]) >= 0.9 and shares[-1] >= shares[0])
        )
    return rows


def _composed(composed: dict) -> list:
    rows = []
    for found in composed.values():
        text = (
            f"{percent(found['figures'])} of the figures, both of {percent(found['both'])} of {found['clips']} clips, "
        )
        text += f"{found['psnr']:.1f} dB"
        rows.append(row("composed prompts: direction right", text, ">= 80 % of figures", found["figures"] >= 0.8))
    return rows


def text_table(rows: list[tuple[str, str, str, str]]) -> str:
    rows = [("claim", "measured", "goal", "reached"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
