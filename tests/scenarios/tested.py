"""Writes docs/TESTED.md: python -m tests.scenarios.tested NAME JUNIT_XML COMMAND [URL], one section per host.

Needs nothing but the standard library. Called by `python dev.py test --webui` and `--host-pins`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import dev

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "TESTED.md"
HEAD = """# What was tested, and where

Written by `python dev.py test --webui URL` and `python dev.py test --host-pins`, each its own section. The scenarios
(tests/scenarios) are the same everywhere: requests over HTTP, nothing of the host imported; what only the WebUI has is
asked of it alone.
"""


def outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def groups(report: Path) -> tuple[dict[str, Counter], dict[str, float], list[str]]:
    """Outcomes and seconds per test file, and what failed."""
    counts: dict[str, Counter] = {}
    seconds: Counter = Counter()
    failed = []
    for case in ElementTree.parse(report).iter("testcase"):
        group = re.sub(r"^tests\.", "", case.get("classname") or "").replace(".test_", "/").replace(".", "/")
        result = outcome(case)
        counts.setdefault(group, Counter())[result] += 1
        seconds[group] += float(case.get("time") or 0)
        if result == "failed":
            failed.append(f"{group}: {case.get('name')}")
    return counts, seconds, failed


def commit() -> str:
    asked = subprocess.run(["git", "log", "-1", "--format=%h"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True)
    others = [line for line in changed.stdout.splitlines() if not line.endswith("docs/TESTED.md")]
    return asked.stdout.strip() + (" with changes" if others else "")


def host_of(url: str) -> str:
    """The host at `url` in words, as its probe tells."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/pia-probe/host", timeout=60) as answer:
        told = json.load(answer)
    version = f"WebUI {told['tag']}" + (f", commit {told['commit'][:7]}" if told["commit"] else "")
    return f"{version}, Python {told['python']}, torch {told['torch']}"


def here() -> str:
    """minihost in this Python, with what it computes with."""
    from importlib.metadata import version

    names = ("torch", "pillow", "numpy", "transformers", "safetensors", "gradio", "einops")
    shown = ", ".join(f"{name} {version(name)}" for name in names)
    return f"minihost, Python {sys.version.split()[0]}, {shown}"


def section(name: str, report: Path, command: str, host: str) -> str:
    counts, seconds, failed = groups(report)
    total, spent = sum(counts.values(), Counter()), sum(seconds.values())
    lines = [
        f"## {name}",
        "",
        f"{host}. Extension at {commit()}, {time.strftime('%Y-%m-%d')}: `{command}`.",
        *left_out(name),
        f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped, {spent:.0f} s.",
        "",
        "| group | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|",
    ]
    for group, count in sorted(counts.items()):
        cells = (group, count["passed"], count["failed"], count["skipped"], round(seconds[group]))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if failed:
        lines += ["", "Failed:", "", *(f"* {one}" for one in failed)]
    return "\n".join(lines)


def left_out(name: str) -> list[str]:
    """What `python dev.py test --host-pins` does not run, and why (dev.HOST_LEFT_OUT)."""
    if name != "host pins":
        return []
    listed = ", ".join(f"`{one}`" for one in dev.HOST_LEFT_OUT)
    return [f"Left out, for float16 on a CPU (torch 2.1.2 has none) and the making of the miniature: {listed}."]


def with_section(document: str, name: str, text: str) -> str:
    """`document` with the section of that name replaced, or added at its end."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{text}\n{end}"
    if begin in document:
        before, rest = document.split(begin, 1)
        return before + block + rest.split(end, 1)[1]
    return document.rstrip() + f"\n\n{block}\n"


def main(name: str, report: str, command: str, url: str = "") -> int:
    before = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else HEAD
    text = section(name, Path(report), command, host_of(url) if url else here())
    DOCUMENT.write_text(with_section(before, name, text), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)}: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
