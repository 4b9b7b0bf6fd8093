"""SHA-256 of files, remembered by title until the file changes."""
import hashlib
import os.path

from modules import cache as _cache
from modules import shared

cache, dump_cache = _cache.cache, _cache.dump_cache


def calculate_sha256(filename):
    digest = hashlib.sha256()
    with open(filename, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_from_cache(filename, title, use_addnet_hash=False):
    entry = cache("hashes-addnet" if use_addnet_hash else "hashes").get(title)
    if entry is None or not os.path.exists(filename) or os.path.getmtime(filename) > entry["mtime"]:
        return None
    return entry["sha256"]


def sha256(filename, title, use_addnet_hash=False):
    known = sha256_from_cache(filename, title, use_addnet_hash)
    if known is not None or shared.cmd_opts.no_hashing:
        return known
    value = calculate_sha256(filename)
    cache("hashes-addnet" if use_addnet_hash else "hashes")[title] = {"mtime": os.path.getmtime(filename), "sha256": value}
    return value
