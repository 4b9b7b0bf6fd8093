"""Runs a Python file of an extension as a module of its own."""
import importlib.util
import os

from modules import errors

loaded_scripts = {}


def load_module(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded_scripts[path] = module
    return module


def preload_extensions(extensions_dir, parser, extension_list=None):
    if not os.path.isdir(extensions_dir):
        return
    for name in sorted(os.listdir(extensions_dir) if extension_list is None else extension_list):
        path = os.path.join(extensions_dir, name, "preload.py")
        if not os.path.isfile(path):
            continue
        try:
            preload = getattr(load_module(path), "preload", None)
            if preload is not None:
                preload(parser)
        except Exception:
            errors.report(f"preload() of {path} failed", exc_info=True)
