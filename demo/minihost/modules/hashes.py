"""SHA-256 of files, remembered by title as long as the file stays as it is."""
import hashlib
import os

from modules._flags import cmd_opts

_known: dict[str, tuple[float, str]] = {}


def sha256_from_cache(filename, title, use_addnet_hash=False):
    modified, digest = _known.get(title, (-1.0, None))
    return digest if os.path.isfile(filename) and os.path.getmtime(filename) <= modified else None


def sha256(filename, title, use_addnet_hash=False):
    """Hexadecimal; None with --no-hashing unless it is known."""
    if (known := sha256_from_cache(filename, title)) or cmd_opts.no_hashing:
        return known
    with open(filename, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    _known[title] = os.path.getmtime(filename), digest
    return digest
