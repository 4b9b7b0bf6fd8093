"""File -> PIAModel, PIAModel -> file, file -> file, and a cheap look at a file for lists of models."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from lib_pia.errors import CheckpointError
from lib_pia.model import LATENT_CHANNELS, PIAModel, official_state_dict

from .index import ADVICE, Index, read_index
from .kinds import PIA
from .layout import CONV_IN, PIAFile, find_layout, kind_of, meta_model
from .safetensors_file import write_safetensors
from .storage import read_tensor

HASH_CHUNK = 1 << 20  # bytes
PIECE = 1 << 20  # elements checked for NaN at a time


@dataclass(frozen=True)
class FileKind:
    """What a file is, read from its header only; a file with broken weights (NaN) shows itself only when it is
    loaded."""

    name: str  # "a PIA model", "an AnimateDiff v3 motion module", "not a model"
    detail: str  # naming and container of a PIA model; of any other file the sentence that loading it would raise
    is_pia: bool
    dtype: str = ""  # "float32", or several, such as "float16, float32"
    parameters: int = 0  # numbers in all tensors of the file
    channels: tuple[int, ...] = ()  # width per UNet level, outermost first; PIA models only
    max_frames: int = 0  # longest clip; PIA models only


def load_pia_model(path: str | Path, *, dtype: torch.dtype | None = None) -> PIAModel:
    """Reads a PIA model in any of its forms: official pickle or safetensors, wrapped, inside a UNet dump, or as
    diffusers MotionAdapter.

    No code of a pickle is run. Tensors are read one at a time into memory of their own, so at most one copy of the
    weights (plus one tensor) is held, and the file may be replaced or deleted afterwards.

    Args:
        path: the file.
        dtype: floating type of the model's weights; None keeps float16 or bfloat16 where the whole file has it, and is
        float32 otherwise.
    Returns:
        The model on the CPU, in eval mode, without gradients.
    Raises:
        CheckpointError: the file is something else (the sentence says what), broken, or holds NaN or infinite weights.
    """
    layout = find_layout(read_index(path))
    dtype = dtype or layout.dtype()
    model = meta_model(layout.channels, layout.max_frames)
    with _opened(layout.index) as file:
        weights = {name: _weight(layout, file, name, dtype) for name in model.state_dict()}
    model.load_state_dict(weights, assign=True)
    return model.requires_grad_(False).eval()


def save_pia_model(
    model: PIAModel, path: str | Path, *, half: bool = False, metadata: dict[str, str] | None = None
) -> None:
    """Writes `model` as safetensors under official names; the first 4 channels of conv_in.weight, which PIA ignores,
    are zero.

    Args:
        half: as float16, half the size.
        metadata: text to put into the file's header.
    Raises:
        CheckpointError: a weight does not fit into float16, or is NaN or infinite.
        HostError: the file cannot be written; what was there before is still there.
    """
    path = Path(path)
    tensors = official_state_dict(model)
    layout = {name: (torch.float16 if half else tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}

    def read(name: str) -> Tensor:
        return _finite(tensors[name].detach().cpu().to(layout[name][0]), tensors[name], name, path.name)

    write_safetensors(path, layout, read, {"format": "pt", "pia_naming": "official", **(metadata or {})})


def convert(path: str | Path, out: str | Path, *, half: bool = False, force: bool = False) -> None:
    """Writes the PIA model in `path` as safetensors under official names, all 9 channels and the bias of conv_in
    included.

    The header's metadata name the source: `source`, `source_sha256`. One tensor is in memory at a time.

    Args:
        half: as float16, half the size; otherwise in the types of the file.
        force: replace `out` if it exists.
    Raises:
        CheckpointError: `path` is no usable PIA model, or `out` is not a new .safetensors file.
        HostError: `out` cannot be written; what was there before is still there.
    """
    path, out = Path(path), Path(out)
    source = find_layout(read_index(path))
    if out.suffix != ".safetensors":
        raise CheckpointError(f"{out.name} is no name for the result; it must end in .safetensors.")
    if out.exists() and (not force or out.samefile(path)):
        raise CheckpointError(
            f"{out} is there already; choose another name" + (", or add --force to replace it." if not force else ".")
        )
    layout = {name: (torch.float16 if half else tensor.dtype, tensor.shape) for name, tensor in source.tensors.items()}
    with _opened(source.index) as file:
        metadata = {"format": "pt", "pia_naming": "official", "source": path.name, "source_sha256": _sha256(file)}
        write_safetensors(out, layout, lambda name: _checked(source, file, name, layout[name][0]), metadata)


def describe(path: str | Path) -> FileKind:
    """What a file is. Reads headers only and never raises for what the file holds; see `FileKind.detail`."""
    try:
        index = read_index(path)
    except CheckpointError as error:
        return FileKind("not a model", str(error), False)
    tensors = index.tensors.values()
    dtype = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}))
    parameters = sum(tensor.numel for tensor in tensors)
    kind = kind_of(index)
    try:
        layout = find_layout(index)
    except CheckpointError as error:
        return FileKind("a broken PIA model" if kind == PIA else kind.name, str(error), False, dtype, parameters)
    return FileKind(
        kind.name,
        f"{layout.naming} names, {index.container}",
        True,
        dtype,
        parameters,
        layout.channels,
        layout.max_frames,
    )


def _opened(index: Index) -> BinaryIO:
    try:
        return index.path.open("rb")
    except OSError as error:
        raise CheckpointError(
            f"{index.name} cannot be read ({error.strerror or error}). Check the file and its permissions."
        ) from error


def _weight(layout: PIAFile, file: BinaryIO, name: str, dtype: torch.dtype) -> Tensor:
    """One tensor as PIAModel holds it: of conv_in.weight only the channels of the condition."""
    tensor = _checked(layout, file, name, dtype)
    return tensor[:, LATENT_CHANNELS:].clone() if name == CONV_IN else tensor


def _checked(layout: PIAFile, file: BinaryIO, name: str, dtype: torch.dtype) -> Tensor:
    try:
        tensor = read_tensor(file, layout.tensors[name])
    except CheckpointError as error:
        raise CheckpointError(f"{layout.index.name} is a broken PIA model: {error}. {ADVICE}") from error
    except OSError as error:
        raise CheckpointError(
            f"{layout.index.name} cannot be read ({error.strerror or error}). Check the disk, then try again."
        ) from error
    return _finite(tensor.to(dtype), tensor, name, layout.index.name)


def _finite(converted: Tensor, original: Tensor, name: str, file_name: str) -> Tensor:
    if _all_finite(converted):
        return converted
    if not _all_finite(original):
        raise CheckpointError(f"{file_name} is a broken PIA model: {name} holds NaN or infinite weights. {ADVICE}")
    raise CheckpointError(
        f"{file_name} cannot be used in half precision: {name} holds {float(original.float().abs().max()):.3g}, "
        f"float16 ends at {torch.finfo(torch.float16).max:.0f}. Use it in float32."
    )


def _all_finite(tensor: Tensor) -> bool:
    """Piece by piece: `isfinite` of a whole tensor needs twice its memory beside it."""
    pieces = tensor.reshape(-1).split(PIECE)
    return all(
        torch.isfinite(piece.float() if piece.element_size() == 1 else piece).all() for piece in pieces
    )  # float8 has no isfinite


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(HASH_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
