"""Faults: an exception, an interrupt or a failing file at a chosen point of one request.

One fault is {"point": where, "call": which time it is reached (1), "error": kind, "message": text, "status": number}.
`point` is a hook's name, "init", "setup_conds", "sample", "create_sampler", "encode", "decode", "unet", or "file"
with "match": a pattern of the path (of the program, for event "subprocess.Popen"), "event": which audited event
("open" for writing when `"write": true`, "os.rename", "os.mkdir", "subprocess.Popen") and "errno". `error` is the
name of a built-in exception, "out of memory", or "interrupt" and "skip", which press the host's buttons instead.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
from collections import Counter
from contextlib import contextmanager
from typing import Any

_failing: list[Faults] = []  # whose "file" faults the audit hook looks at
_audited: list[bool] = []  # an audit hook cannot be removed: one, and only if a request ever asks for it


def _audit(event: str, args: tuple) -> None:
    for faults in _failing:
        faults.audit(event, args)


def exception(fault: dict[str, Any]) -> BaseException:
    import torch

    message = fault.get("message", "the probe's fault")
    if fault.get("error") == "out of memory":
        return torch.cuda.OutOfMemoryError(message)
    if "errno" in fault:
        return OSError(fault["errno"], os.strerror(fault["errno"]))
    error = getattr(builtins, fault.get("error", "RuntimeError"))(message)
    if "status" in fault:
        error.status_code, error.detail = fault["status"], fault.get("detail", message)
    return error


class Faults:
    """The faults of one request, and how often each point was reached."""

    def __init__(self, wanted: list[dict[str, Any]]) -> None:
        self.wanted = wanted
        self.reached: Counter[str] = Counter()

    def reach(self, point: str) -> None:
        self.reached[point] += 1
        for fault in self.wanted:
            if fault["point"] == point and fault.get("call", 1) in (self.reached[point], "every"):
                self._happen(fault)

    def _happen(self, fault: dict[str, Any]) -> None:
        from modules.shared import state

        kind = fault.get("error")
        if kind == "interrupt":
            state.interrupt()
        elif kind == "skip":
            state.skip()
        else:
            raise exception(fault)

    @contextmanager
    def files(self) -> Any:
        """Inside the block "file" faults happen."""
        if not any(fault["point"] == "file" for fault in self.wanted):
            yield
            return
        if not _audited:
            _audited.append(True)
            sys.addaudithook(_audit)
        _failing.append(self)
        try:
            yield
        finally:
            _failing.remove(self)

    def audit(self, event: str, args: tuple) -> None:
        for fault in self.wanted:
            if fault["point"] != "file" or fault.get("event", "open") != event:
                continue
            if event == "open" and fault.get("write") and not _for_writing(args):
                continue
            if any(re.search(fault["match"], os.fsdecode(part)) for part in args[:2] if isinstance(part, (str, bytes))):
                self.reached["file"] += 1
                if fault.get("call", "every") in (self.reached["file"], "every"):
                    raise exception(fault)


def _for_writing(args: tuple) -> bool:
    mode, flags = args[1], args[2]
    return bool(mode and set(mode) & set("wxa+")) or bool(flags and flags & (os.O_WRONLY | os.O_RDWR))
