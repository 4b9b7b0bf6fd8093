"""Errors go to stderr and into a short list; the generation goes on."""
import sys
import traceback

exception_records = []          # the texts of the last five


def record_exception() -> None:
    if sys.exc_info()[1] is not None:
        exception_records[:] = [*exception_records[-4:], traceback.format_exc()]


def report(message: str, *, exc_info: bool = False) -> None:
    record_exception()
    sys.stderr.write(f"*** {message}\n{traceback.format_exc() if exc_info else ''}")
