"""Errors go to stderr; the generation goes on."""

import sys
import traceback


def record_exception() -> None:
    """The WebUI keeps a list of them for its report."""


def report(message: str, *, exc_info: bool = False) -> None:
    sys.stderr.write(f"*** {message}\n{traceback.format_exc() if exc_info else ''}")
