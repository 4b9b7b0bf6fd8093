"""Errors are printed to stderr and remembered; nothing here stops a generation."""
import sys
import textwrap
import traceback

exception_records = []          # the last five, as dicts of text


def format_traceback(tb):
    return [[f"{frame.filename}, line {frame.lineno}, {frame.name}", frame.line] for frame in traceback.extract_tb(tb)]


def format_exception(e, tb):
    return dict(exception=str(e), traceback=format_traceback(tb))


def get_exceptions():
    return exception_records[::-1]


def record_exception():
    _, error, tb = sys.exc_info()
    if error is not None:
        exception_records.append(format_exception(error, tb))
        del exception_records[:-5]


def report(message: str, *, exc_info: bool = False) -> None:
    """Print `message`, with the traceback of the exception that is being handled when `exc_info`."""
    record_exception()
    text = textwrap.indent(message, "*** ", lambda line: True)
    if exc_info:
        text += "\n" + textwrap.indent(traceback.format_exc(), "    ") + "---"
    print(text, file=sys.stderr)


def display(e: Exception, task, *, full_traceback=False):
    record_exception()
    print(f"{task}: {type(e).__name__}", file=sys.stderr)
    traceback.print_exception(e, file=sys.stderr)


def run(code, task):
    try:
        code()
    except Exception as error:
        display(error, task)
