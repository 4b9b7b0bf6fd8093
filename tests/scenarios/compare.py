"""How far a host's recording is from the recorded one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

TOLERANCE = 2e-3  # relative or absolute, of numbers that were computed: another torch, another attention
LOOSE = 0.05


def differences(recorded: Any, here: Any, tolerance: float = TOLERANCE, place: str = "") -> Iterator[str]:
    """One line per difference, with the path to it."""
    if isinstance(recorded, dict) and isinstance(here, dict):
        for key in recorded.keys() | here.keys():
            there, now = recorded.get(key, "(nothing)"), here.get(key, "(nothing)")
            yield from differences(there, now, tolerance, f"{place}/{key}")
    elif isinstance(recorded, list) and isinstance(here, list) and len(recorded) == len(here):
        for index, (there, now) in enumerate(zip(recorded, here)):
            label = f"{there[0]}#{index}" if isinstance(there, list) and there and isinstance(there[0], str) else index
            yield from differences(there, now, tolerance, f"{place}/{label}")
    elif _is_number(recorded) and _is_number(here):
        exact = isinstance(recorded, int) and isinstance(here, int)
        close = recorded == here if exact else math.isclose(recorded, here, rel_tol=tolerance, abs_tol=tolerance)
        if not close:
            yield f"{place}: recorded {recorded}, here {here}"
    elif recorded != here or isinstance(recorded, bool) != isinstance(here, bool):
        yield f"{place}: recorded {_short(recorded)}, here {_short(here)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:297]}..."
