"""Small helpers for files."""
import os
import re

from modules import shared
from modules.paths_internal import cwd


def natural_sort_key(s, regex=re.compile("([0-9]+)")):
    return [int(part) if part.isdigit() else part.lower() for part in regex.split(s)]


def listfiles(dirname):
    names = sorted((name for name in os.listdir(dirname) if not name.startswith(".")), key=natural_sort_key)
    return [path for path in (os.path.join(dirname, name) for name in names) if os.path.isfile(path)]


def walk_files(path, allowed_extensions=None):
    """All files under `path` whose suffix (with dot, lower case) is allowed, in natural order, through links."""
    if not os.path.exists(path):
        return
    for root, _, files in sorted(os.walk(path, followlinks=True), key=lambda item: natural_sort_key(item[0])):
        hidden = re.search(r"[/\\]\.", root) is not None
        if hidden and not shared.opts.list_hidden_files:
            continue
        for name in sorted(files, key=natural_sort_key):
            if allowed_extensions is None or os.path.splitext(name)[1].lower() in set(allowed_extensions):
                yield os.path.join(root, name)


def truncate_path(target_path, base_path=cwd):
    """`target_path` relative to `base_path` where it lies inside it, absolute where not."""
    target, base = os.path.abspath(target_path), os.path.abspath(base_path)
    return os.path.relpath(target, base) if target.startswith(base + os.sep) else target


def topological_sort(dependencies):
    """Names in an order where every name comes after those it depends on; cycles are cut."""
    done, order = set(), []

    def visit(name):
        if name in done or name not in dependencies:
            return
        done.add(name)
        for other in dependencies[name]:
            visit(other)
        order.append(name)

    for name in dependencies:
        visit(name)
    return order
