"""contract.NEEDED is what the code uses of the host: nothing more, nothing less."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "lib_pia" / "host").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
OPTIONAL = {"modules.ui_postprocessing", "modules.shared.prompt_styles"}  # looked for, not needed


def uses_of(source: str) -> tuple[set[str], set[str]]:
    """(names of the host that a source uses as "modules.x.name", attributes, methods and keywords that it mentions)."""
    tree = ast.parse(source)
    used, aliases, mentioned = set(), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "modules":
            aliases.update({alias.asname or alias.name: f"modules.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modules."):
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            mentioned.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            mentioned.add(node.name)
        elif isinstance(node, ast.keyword) and node.arg:
            mentioned.add(node.arg)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            used.add(f"{aliases[node.value.id]}.{node.attr}")
    return used, mentioned


@pytest.fixture(scope="module")
def code():
    found = [uses_of(path.read_text(encoding="utf-8")) for path in FILES if path.name != "contract.py"]
    return set().union(*(used for used, _ in found)), set().union(*(mentioned for _, mentioned in found))


@pytest.fixture(scope="module")
def needed():
    from lib_pia.host.contract import NEEDED

    return {f"{module}.{name}" for module, names in NEEDED.items() for name in names}


def test_everything_used_is_needed(code, needed):
    used, _ = code
    covered = {".".join(name.split(".")[:3]) for name in needed}
    assert {name for name in used if name not in covered} - OPTIONAL == set()


def test_everything_needed_is_used(code, needed):
    used, mentioned = code
    unused = {name for name in needed if name not in used and name.split(".")[-1] not in mentioned}
    unused |= {name for name in needed if name.count(".") == 2 and name not in used}
    assert unused == set()


def test_every_hook_of_the_script_is_needed(needed):
    tree = ast.parse((ROOT / "scripts" / "pia.py").read_text(encoding="utf-8"))
    script = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    hooks = {f"modules.scripts.Script.{node.name}" for node in script.body if isinstance(node, ast.FunctionDef)}
    assert hooks == {name for name in needed if name.startswith("modules.scripts.Script.")}


def test_the_walk_sees_every_way_of_using_the_host():
    used, mentioned = uses_of(
        "from modules import rng as r\nfrom modules.shared import opts\n\n"
        "def f(p):\n    return r.ImageRNG(p.close, a=1)\n"
    )
    assert used == {"modules.rng.ImageRNG", "modules.shared.opts"} and {"close", "f", "a"} <= mentioned
