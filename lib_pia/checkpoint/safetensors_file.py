"""Reads the index of a safetensors file, and writes one tensor after the other (format: huggingface/safetensors
README).

The package `safetensors` maps the file (on Windows a mapped file cannot be replaced) and holds a second copy of all
weights when it writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lib_pia.errors import CheckpointError, HostError
from lib_pia.files import replacing

from .storage import Storage, StoredTensor, contiguous_strides

HEADER_LENGTH = 8  # a little-endian uint64 comes first
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
DTYPES = {name: getattr(torch, attribute) for attribute, name in NAMES.items() if hasattr(torch, attribute)}


def looks_like_safetensors(start: bytes) -> bool:
    return (
        len(start) > HEADER_LENGTH
        and start[HEADER_LENGTH : HEADER_LENGTH + 1] == b"{"
        and _header_size(start) <= LARGEST_HEADER
    )


def _header_size(start: bytes) -> int:
    return int.from_bytes(start[:HEADER_LENGTH], "little")


def safetensors_index(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Tensors by name, and the metadata. Only the header is read.

    Raises:
        CheckpointError: damaged or incomplete. The message is a clause that begins with "it" or "its".
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = _header_size(file.read(HEADER_LENGTH))
        if HEADER_LENGTH + length > size:
            raise CheckpointError("it ends inside the header of its tensors (an incomplete download)")
        raw = file.read(length)
    begin = HEADER_LENGTH + length
    try:
        header = json.loads(raw)
        metadata = header.pop("__metadata__", None) or {}
        tensors = {name: _entry(value, begin) for name, value in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError("its safetensors header is damaged") from error
    end = max((t.storage.offset + t.storage.nbytes for t in tensors.values()), default=begin)
    if end > size:
        raise CheckpointError(f"it holds {size:,} of its {end:,} bytes (an incomplete download)")
    return tensors, {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}


def _entry(value: dict, begin: int) -> StoredTensor:
    first, last = value["data_offsets"]
    shape = tuple(value["shape"])
    if not all(type(n) is int and n >= 0 for n in (*shape, first, last)):
        raise ValueError("negative or fractional number")
    return StoredTensor(
        DTYPES[value["dtype"]], shape, contiguous_strides(shape), 0, Storage(begin + first, last - first)
    )


def write_safetensors(
    path: Path,
    layout: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    read: Callable[[str], Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Writes `read(name)` for every name of `layout` ({name: (dtype, shape)}); one tensor is in memory at a time.

    The file appears under its name only when it is complete; until then, and after any failure, what was there before
    stays.

    Raises:
        HostError: the folder is missing, the disk is full, or writing is not allowed.
    """
    header: dict[str, object] = {"__metadata__": {str(k): str(v) for k, v in metadata.items()}}
    order = sorted(
        layout, key=lambda name: (-layout[name][0].itemsize, name)
    )  # wide types first keeps every tensor aligned
    offset = 0
    for name in order:
        dtype, shape = layout[name]
        nbytes = dtype.itemsize * torch.Size(shape).numel()
        header[name] = {
            "dtype": NAMES[str(dtype).removeprefix("torch.")],
            "shape": list(shape),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % HEADER_LENGTH)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(len(raw).to_bytes(HEADER_LENGTH, "little") + raw)
            for name in order:
                dtype, shape = layout[name]
                tensor = read(name).detach().to("cpu", dtype).contiguous()
                file.write(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HostError(
            f"{path} cannot be written ({error.strerror or error}); choose a folder that exists, "
            "is writable and has enough free space."
        ) from error
