"""What must be in place before `modules` can be imported: folders on sys.path, flags, and k-diffusion without its heavy imports."""
from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def register_k_diffusion() -> None:
    """`k_diffusion` as an empty package with its real path; its `sampling` and `external` need torchvision for one import only."""
    if "k_diffusion" in sys.modules:
        return
    package = types.ModuleType("k_diffusion")
    package.__path__ = importlib.util.find_spec("k_diffusion").submodule_search_locations
    stand_ins = {}
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            stand_ins[name] = types.ModuleType(name)
        stand_ins["torchvision.transforms"].functional = stand_ins["torchvision.transforms.functional"]
    sys.modules.update(k_diffusion=package, **stand_ins)
    try:
        for name in ("utils", "sampling", "external"):
            setattr(package, name, importlib.import_module(f"k_diffusion.{name}"))
    finally:
        for name in stand_ins:
            del sys.modules[name]


def prepare(flags: list[str]) -> None:
    """Make `import modules` mean minihost's, started with these command-line flags. One host per process."""
    if "modules" in sys.modules:
        raise RuntimeError("A WebUI host is loaded in this process already; minihost needs a process of its own.")
    os.environ["COMMANDLINE_ARGS"] = shlex.join(flags)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "false")
    sys.path.insert(0, str(ROOT))
    register_k_diffusion()
