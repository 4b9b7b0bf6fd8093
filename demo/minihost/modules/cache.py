"""A cache by name that lives as long as the process (the WebUI keeps it on disk)."""
import os

caches = {}


def cache(subsection):
    return caches.setdefault(subsection, {})


def dump_cache():
    pass


def cached_data_for_file(subsection, title, filename, func):
    """`func()`, remembered until the file changes."""
    mtime, known = os.path.getmtime(filename), cache(subsection)
    if title not in known or known[title]["mtime"] < mtime:
        value = func()
        if value is None:
            return None
        known[title] = {"mtime": mtime, "value": value}
    return known[title]["value"]
