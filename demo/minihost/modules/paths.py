"""The folders again, under the name that extensions import; importing it also puts the checked `torch.load` in place."""
from modules import safe  # noqa: F401
from modules.paths_internal import (  # noqa: F401
    cwd,
    data_path,
    extensions_builtin_dir,
    extensions_dir,
    models_path,
    script_path,
)

paths = {}
