"""SHA-256 of files, remembered as long as the file stays as it is."""

import functools
import hashlib
import os
from pathlib import Path


@functools.cache
def _digest(filename, changed):
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()


def sha256(filename, title, use_addnet_hash=False):
    """Hexadecimal."""
    return _digest(filename, os.path.getmtime(filename))
