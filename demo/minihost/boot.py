"""What must be so before `modules` can be imported: folder on sys.path, flags, k-diffusion without heavy imports."""

import importlib
import importlib.util
import os
import shlex
import sys
import types
from pathlib import Path


def import_k_diffusion() -> None:
    """`k_diffusion` as an empty package with its real path; its parts need torchvision for one unused import only."""
    package = types.ModuleType("k_diffusion")
    package.__path__ = importlib.util.find_spec("k_diffusion").submodule_search_locations
    pretended = {}
    if importlib.util.find_spec("torchvision") is None:
        names = "torchvision", "torchvision.transforms", "torchvision.transforms.functional"
        pretended = {name: types.ModuleType(name) for name in names}
        pretended[names[1]].functional = pretended[names[2]]
    sys.modules.update(pretended, k_diffusion=package)
    for name in ("utils", "sampling", "external"):
        setattr(package, name, importlib.import_module(f"k_diffusion.{name}"))
    for name in pretended:
        del sys.modules[name]


def prepare(flags: list[str]) -> None:
    """Make `import modules` mean minihost's, started with these command-line flags. One host per process."""
    if "modules" in sys.modules:
        raise RuntimeError("A WebUI host is loaded in this process already; minihost needs a process of its own.")
    os.environ["COMMANDLINE_ARGS"] = shlex.join(flags)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "false")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    if "k_diffusion" not in sys.modules:
        import_k_diffusion()
