"""Runs a Python file of an extension as a module of its own."""
import importlib.machinery
import importlib.util
import os
from pathlib import Path

from modules import errors

loaded_scripts = {}


def load_module(path):
    name = os.path.basename(path)
    loader = importlib.machinery.SourceFileLoader(name, path)
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(made)
    loaded_scripts.update({path: made})
    return made


def preload_extensions(extensions_dir, parser, extension_list=None):
    folder = Path(extensions_dir)
    names = extension_list if extension_list is not None else [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    for path in filter(os.path.isfile, (str(folder / name / "preload.py") for name in sorted(names))):
        try:
            vars(load_module(path)).get("preload", lambda parser: None)(parser)
        except Exception:
            errors.report(f"preload() of {path} failed", exc_info=True)
