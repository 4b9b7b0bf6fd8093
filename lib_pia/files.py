"""Writing files so that a stopped program never leaves half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, which takes its place when the block succeeds and is gone when it does not.

    Raises OSError where no such file can be made, before the block begins.
    """
    with contextlib.suppress(FileNotFoundError):
        path.stat()  # a name that is too long is refused here, before the work
    temporary = path.parent / f".pia-{secrets.token_hex(6)}{path.suffix}"
    temporary.open("xb").close()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
