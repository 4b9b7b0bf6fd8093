"""Every error sentence of the code, for the lists of docs/ERRORS.md and docs/TRAINING.md.

    python -m tests.error_texts        # writes the lists into both files

Placeholders of a sentence are shown as … . `tests/unit/test_readme.py` fails when a list is not what this module would
write.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ERRORS = {
    "PIAError",
    "SettingsError",
    "CheckpointError",
    "UnsupportedModelError",
    "MediaError",
    "HostError",
    "TrainingError",
}
BEGIN, END = "<!-- errors: python -m tests.error_texts -->", "<!-- end of errors -->"
GROUPS = (
    ("Settings and request", ("settings", "affinity", "color", "condition", "host/generation/request", "host/panel")),
    ("PIA model file", ("checkpoint", "model", "host/models", "host/panel/download")),
    ("Checkpoint and host", ("injection", "host")),
    ("Clips and files", ("video", "host/delivery", "host/panel/player")),
)


def text_of(node: ast.expr) -> str | None:
    """A string expression with … for what is filled in; None where nothing of it is fixed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None and right is None else (left or "…") + (right or "…")
    if isinstance(node, ast.IfExp):
        return "…"
    return None


def sentences(path: Path) -> list[str]:
    """The error sentences that a file builds, in their order there."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) in ERRORS
            and node.args
        ):
            text = text_of(node.args[0])
            if text and re.search(r"[A-Za-z]{3}", text):
                found.append((node.lineno, re.sub(r"\s+", " ", text)))
    return [text for _, text in sorted(found)]


def module_of(path: Path) -> str:
    return path.relative_to(ROOT / "lib_pia").with_suffix("").as_posix()


def group_of(module: str) -> str:
    """The group whose longest prefix the module has."""
    fits = [
        (len(prefix), title)
        for title, prefixes in GROUPS
        for prefix in prefixes
        if module == prefix or module.startswith((prefix + "/", prefix + "_"))
    ]
    return max(fits)[1] if fits else GROUPS[-1][0]


def listing(training: bool) -> str:
    """The list for docs/TRAINING.md (`training`) or for docs/ERRORS.md."""
    groups: dict[str, list[str]] = {title: [] for title, _ in GROUPS} if not training else {"": []}
    for path in sorted((ROOT / "lib_pia").rglob("*.py")):
        module = module_of(path)
        if module.startswith("training") == training:
            groups["" if training else group_of(module)] += sentences(path)
    lines = []
    for title, texts in groups.items():
        if texts:
            lines += [f"**{title}**", ""] if title else []
            lines += [f"* `{text.replace('`', chr(39))}`" for text in dict.fromkeys(texts)] + [""]
    return "\n".join(lines).rstrip()


def with_list(document: str, training: bool) -> str:
    """`document` with its list brought up to date."""
    head, rest = document.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{listing(training)}\n{END}{rest.split(END, 1)[1]}"


DOCUMENTS = ((ROOT / "docs" / "ERRORS.md", False), (ROOT / "docs" / "TRAINING.md", True))


def main() -> None:
    for path, training in DOCUMENTS:
        path.write_text(with_list(path.read_text(encoding="utf-8"), training), encoding="utf-8")


if __name__ == "__main__":
    main()
