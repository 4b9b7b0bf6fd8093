"""Imports run downwards only: the core knows no host, no gradio and no ldm, and imports nothing that stands above
it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lib_pia"
LAYERS = [
    "errors",
    "files",
    "lending",
    "settings",
    "prompt_travel",
    "schedule",
    "condition",
    "motion_module",
    "frame_norm",
    "video",
    "affinity_measure",
    "affinity",
    "windows",
    "model",
    "checkpoint",
    "injection",
    "deep_features",
    "attention_map",
    "color",
    "training",
    "evaluation",
    "host",
]
HOST_ONLY = {"modules", "gradio", "ldm", "launch", "fastapi"}
FILES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file."""
    package = [*path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


def layer(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "lib_pia" or len(parts) < 2:
        return None
    return next(
        (
            known
            for known in sorted(LAYERS, key=len, reverse=True)
            if parts[1] == known or parts[1].startswith(known + "_")
        ),
        parts[1],
    )


@pytest.mark.parametrize("file", FILES)
def test_imports_run_downwards(file):
    own = layer(file.removesuffix(".py").replace("/", "."))
    if own is None or own == "__init__":
        return
    assert own in LAYERS, f"{file} belongs to no layer"
    for name in imports(ROOT / file):
        if own != "host":
            allowed = {"ldm"} if file == "lib_pia/training/ldm_checkpoint.py" else set()
            assert name.split(".")[0] not in HOST_ONLY - allowed, f"{file} imports {name}"
        other = layer(name)
        if other is not None:
            assert LAYERS.index(other) <= LAYERS.index(own), (
                f"{file} ({own}) imports {name} ({other}), which stands above it"
            )


def test_the_script_is_wiring_only():
    assert len((ROOT / "scripts" / "pia.py").read_text().splitlines()) <= 80
