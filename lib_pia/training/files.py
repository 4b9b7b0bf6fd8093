"""Reading tensors, and writing files so that a stopped program never leaves half of one."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_pia.errors import TrainingError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; it becomes `path` at the end of the block, and is deleted if the block fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .ckpt file (without running code from it); TrainingError where it is neither."""
    if not path.is_file():
        raise TrainingError(f"{path} does not exist; give the path of a .safetensors or .ckpt file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:                                  # damaged files fail in many ways
        raise TrainingError(f"{path.name} cannot be read ({type(error).__name__}); it must be a .safetensors or .ckpt file, complete.") \
            from None
    return {name: value for name, value in loaded.get("state_dict", loaded).items() if isinstance(value, Tensor)}
