"""PIA model files: where they are, which one a request means, and the one that is kept loaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from modules import devices, paths, shared

from lib_pia.checkpoint import describe, load_pia_model
from lib_pia.errors import CheckpointError, HostError
from lib_pia.model import PIAModel
from lib_pia.presets import FILE

EXTENSIONS = (".ckpt", ".pt", ".pth", ".safetensors", ".bin")
DOWNLOAD = "https://huggingface.co/Leoxing/PIA"


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """One file in the PIA model folder; `name` is its path inside the folder."""

    name: str
    path: str


def model_folder() -> Path:
    """--pia-dir, else the folder of the settings page, else models/PIA."""
    folder = getattr(shared.cmd_opts, "pia_dir", None) or getattr(shared.opts, "pia_model_dir", None)
    return Path(folder) if folder else Path(paths.models_path) / "PIA"


def presets_file() -> Path:
    """A person's own presets, beside the models."""
    return model_folder() / FILE


def list_models() -> list[ModelFile]:
    """Model files by name, subfolders included; empty if the folder is not there."""
    folder = model_folder()
    if not folder.is_dir():
        return []
    found = [Path(path) for path in shared.walk_files(str(folder), allowed_extensions=EXTENSIONS)]
    files = [ModelFile(path.relative_to(folder).as_posix(), str(path)) for path in found]
    return sorted(files, key=lambda file: file.name.lower())


def find_model(name: str | None) -> ModelFile:
    """The file called `name` (with or without suffix), or for None the first that is a PIA model. Raises
    CheckpointError."""
    files = list_models()
    if not files:
        raise CheckpointError(
            f"There is no PIA model in {model_folder()}; download pia.ckpt from {DOWNLOAD} and put it there."
        )
    if name is None:
        return next((file for file in files if describe(file.path).is_pia), files[0])
    for match in (
        lambda file: file.name == name,
        lambda file: file.name.lower() == name.lower(),
        lambda file: Path(file.name).stem.lower() == Path(name).name.lower(),
    ):
        for file in files:
            if match(file):
                return file
    raise CheckpointError(
        f"PIA model {name} is not in {model_folder()}; there are: {', '.join(file.name for file in files[:8])}."
    )


def find_motion_lora(name: str) -> str:
    """The path of the motion LoRA called `name` (with or without suffix), in the PIA model folder or the host's for
    LoRA. Raises CheckpointError."""
    folders = [model_folder(), _lora_folder()]
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in map(Path, shared.walk_files(str(folder), allowed_extensions=EXTENSIONS)):
            inner = path.relative_to(folder)
            if name in (inner.as_posix(), inner.with_suffix("").as_posix(), path.name, path.stem):
                return str(path)
    raise CheckpointError(
        f"The motion LoRA {name} is neither in {folders[0]} nor in {folders[1]}; put the file into one of them."
    )


def _lora_folder() -> Path:
    return Path(getattr(shared.cmd_opts, "lora_dir", None) or Path(paths.models_path) / "Lora")


@dataclasses.dataclass
class ModelCache:
    """The last PIA model used, so that the second clip loads nothing. One is kept, in the UNet's precision."""

    key: tuple = ()
    model: PIAModel | None = None
    loads: int = 0

    def get(self, file: ModelFile, dtype: torch.dtype) -> PIAModel:
        """The model of `file` in `dtype`. Raises CheckpointError, and HostError where the file cannot be read."""
        try:
            stat = os.stat(file.path)
        except OSError as error:
            raise CheckpointError(
                f"PIA model {file.path} cannot be read ({error.strerror}); check the file and its folder."
            ) from error
        key = (file.path, stat.st_mtime_ns, stat.st_size, dtype)
        if key != self.key or self.model is None:
            self.drop()
            self.model = load_pia_model(file.path, dtype=dtype)
            self.key = key
            self.loads += 1
        return self.model

    def drop(self) -> None:
        self.key, self.model = (), None


cache = ModelCache()  # the only state that outlives a generation: a cache, never a run's state


def is_cached(file: ModelFile) -> bool:
    return cache.model is not None and cache.key[:1] == (file.path,)


@contextmanager
def on_device(model: PIAModel) -> Iterator[PIAModel]:
    """`model` on the host's device for the time of the block, and back in main memory unless the settings keep it."""
    try:
        yield model.to(devices.device)
    except torch.cuda.OutOfMemoryError as error:
        raise HostError(
            f"The device ran out of memory while it animated ({str(error).splitlines()[0]}); ask for fewer frames "
            "or a smaller "
            "picture, or start the WebUI with --medvram."
        ) from error
    finally:
        if not getattr(shared.opts, "pia_keep_in_vram", False):
            model.to(devices.cpu)
            devices.torch_gc()
