"""Tensors that still lie in a file: where, of what type and shape; read one at a time into memory of their own."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from lib_pia.errors import CheckpointError

CHUNK = 1 << 24  # bytes per read; only bounds the temporary memory of a checksum


@dataclass(slots=True)
class Storage:
    """`nbytes` bytes at `offset` of a file; `crc` is their CRC-32 where the container states one."""

    offset: int
    nbytes: int
    crc: int | None = None


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file. `stride` and `first` (both in elements) say which elements of the storage it shows, as in
    torch."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    first: int
    storage: Storage

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Number of storage elements from the first to the last one shown."""
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride)) if self.numel else 0

    def fits(self) -> bool:
        """True if every element lies inside the storage and none is shown so often that the tensor outgrows it."""
        if len(self.shape) != len(self.stride) or min((*self.shape, *self.stride, self.first), default=0) < 0:
            return False
        size = self.dtype.itemsize
        return (self.first + self.span) * size <= self.storage.nbytes and self.numel * size <= self.storage.nbytes


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def read_tensor(file: BinaryIO, stored: StoredTensor) -> Tensor:
    """The tensor, contiguous, in memory of its own: nothing keeps the file mapped or open.

    Raises:
        CheckpointError: the file ends too early, or the bytes do not have the checksum that the file states for them.
    """
    size = stored.dtype.itemsize
    raw = torch.empty(stored.span * size, dtype=torch.uint8)
    file.seek(stored.storage.offset + stored.first * size)
    crc = _fill(file, memoryview(raw.numpy()))
    whole = raw.numel() == stored.storage.nbytes
    if whole and stored.storage.crc is not None and crc != stored.storage.crc:
        raise CheckpointError("its bytes do not have the checksum written beside them (a broken download or disk)")
    flat = raw.view(stored.dtype)
    if stored.stride == contiguous_strides(stored.shape):
        return flat.view(stored.shape)
    return flat.as_strided(stored.shape, stored.stride).clone(memory_format=torch.contiguous_format)


def _fill(file: BinaryIO, target: memoryview) -> int:
    """Fills `target` from the file; the CRC-32 of what was read."""
    crc = 0
    for start in range(0, len(target), CHUNK):
        part = target[start : start + CHUNK]
        got = 0
        while got < len(part):
            count = file.readinto(part[got:])
            if not count:
                raise CheckpointError("it ends before its last tensor (an incomplete download)")
            got += count
        crc = zlib.crc32(part, crc)
    return crc
