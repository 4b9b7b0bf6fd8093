"""SHA-256 of files, remembered by title as long as the file stays as it is."""
import hashlib
import os
from pathlib import Path

from modules._flags import cmd_opts

_known: dict[str, tuple[float, str]] = {}


def sha256(filename, title, use_addnet_hash=False):
    """Hexadecimal; None with --no-hashing."""
    changed = os.path.getmtime(filename)
    if _known.get(title, (None,))[0] != changed:
        if cmd_opts.no_hashing:
            return None
        _known[title] = changed, hashlib.sha256(Path(filename).read_bytes()).hexdigest()
    return _known[title][1]
