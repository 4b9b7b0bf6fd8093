"""Errors go to stderr and into a short list; the generation goes on."""
import sys
import traceback

exception_records = []          # of the last five exceptions: their text


def record_exception() -> None:
    if sys.exc_info()[1] is not None:
        exception_records.append(traceback.format_exc())
        del exception_records[:-5]


def report(message: str, *, exc_info: bool = False) -> None:
    record_exception()
    lines = message.splitlines() + (traceback.format_exc().splitlines() if exc_info else [])
    sys.stderr.write("".join(f"*** {line}\n" for line in lines))


def display(e: Exception, task: str) -> None:
    record_exception()
    sys.stderr.write(f"{task}: {type(e).__name__}\n{''.join(traceback.format_exception(e))}")
