"""The folders in `extensions/`, and those named by --minihost-extension."""
from __future__ import annotations

import os
from pathlib import Path

from modules import shared
from modules.paths_internal import extensions_dir

extensions: list[Extension] = []
extension_paths: dict[str, Extension] = {}


def active():
    flags, setting = shared.cmd_opts, shared.opts.disable_all_extensions
    none, only_builtin = flags.disable_all_extensions or setting == "all", flags.disable_extra_extensions or setting == "extra"
    return [one for one in extensions if one.enabled and not none and (one.is_builtin or not only_builtin)]


class Extension:
    def __init__(self, name, path, enabled=True, is_builtin=False, metadata=None):
        self.name, self.path, self.enabled, self.is_builtin = name, path, enabled, is_builtin
        self.canonical_name = name.lower()
        self.metadata = metadata
        self.remote = None

    def list_files(self, subdir, extension):
        from modules import scripts

        folder = os.path.join(self.path, subdir)
        if not os.path.isdir(folder):
            return []
        return [scripts.ScriptFile(self.path, name, os.path.join(folder, name)) for name in sorted(os.listdir(folder))
                if os.path.splitext(name)[1].lower() == extension and os.path.isfile(os.path.join(folder, name))]


def list_extensions():
    extensions.clear()
    extension_paths.clear()
    folder = Path(extensions_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for path in filter(os.path.isdir, [*sorted(map(str, folder.iterdir())), *shared.cmd_opts.minihost_extension]):
        name = os.path.basename(path)
        extension = Extension(name, path, enabled=name not in shared.opts.disabled_extensions)
        extensions.append(extension)
        extension_paths[os.path.realpath(path)] = extension


def find_extension(filename):
    """The extension that `filename` belongs to, or None."""
    folder = os.path.dirname(os.path.realpath(filename))
    while folder != os.path.dirname(folder):
        if folder in extension_paths:
            return extension_paths[folder]
        folder = os.path.dirname(folder)
    return None
