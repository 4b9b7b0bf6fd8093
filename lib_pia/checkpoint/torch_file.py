"""Reads the index of a `torch.save` file without running any code of it: which tensors it holds and where their bytes
are.

`torch.load` is not used: inside the WebUI it is replaced by `modules.safe.load`, which prints a traceback, returns None
for files it does not like and accepts fewer archive members than current torch writes; and what `weights_only` accepts
depends on torch's version. Here the pickle can only name the few things a weight file needs; everything else becomes an
inert object or refuses the file.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lib_pia.errors import CheckpointError

from .storage import Storage, StoredTensor

LEGACY_START = (
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch/serialization.py: MAGIC_NUMBER, pickled with protocol 2
)
LEGACY_PICKLES = 5  # magic number, protocol version, system, object, storage keys
LARGEST_PICKLE = 64 << 20  # bytes; a full SD1.5 dump's is under 1 MB
LOCAL_HEADER = struct.Struct("<4s22xHH")  # ZIP application note 4.3.7: signature ... name length, extra length

STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}

# Names that weight files carry beside tensors (training logs, configurations). They are never imported: each becomes an
# `Inert`.
HARMLESS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf|argparse|pathlib|datetime|numpy)\..*|_codecs\.encode|typing\.\w+"
    r"|collections\.(defaultdict|Counter|deque)|(builtins|__builtin__)\.(set|frozenset|dict|list|tuple|int|float|bool|str|bytes|complex|slice)"
    r"|torch\.(Size|device|Generator|layout|memory_format)|torch\.serialization\._get_layout"
    r"|torch\._utils\._rebuild_(sparse|q|nested|meta|device)\w*|copyreg\._reconstructor|copy_reg\._reconstructor|(builtins|__builtin__)\.object"
    r"|torch\.nn\.parameter\.Parameter"
)


class Inert:
    """Stands for any object that is not a tensor or a dict; swallows whatever the pickle does to it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    add = append


class _Builtin:
    """Something a pickle may call. One is made for each use, so that a pickle which sets its attributes changes nothing
    of ours."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class _StorageType:
    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def _rebuild_tensor(storage: Any, first: Any, shape: Any, stride: Any, *rest: Any) -> StoredTensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2."""
    data, dtype = storage
    if not isinstance(data, Storage) or not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError("a tensor without a storage")
    return StoredTensor(dtype, tuple(map(_natural, shape)), tuple(map(_natural, stride)), _natural(first), data)


def _rebuild_tensor_v3(storage: Any, first: Any, shape: Any, stride: Any, *rest: Any) -> StoredTensor:
    """torch._utils._rebuild_tensor_v3: bytes, and the dtype as the third further argument (float8 and other late
    types)."""
    return _rebuild_tensor((storage[0], rest[2].dtype), first, shape, stride)


def _rebuild_parameter(data: Any, *rest: Any) -> Any:
    return data


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise pickle.UnpicklingError("a tensor's shape is no list of natural numbers")
    return value


class _Unpickler(pickle._Unpickler):
    """Finds no code outside this file. (The Python unpickler: the C one allocates whatever memory a hostile file asks
    for.)"""

    CALLS = {
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    }

    def __init__(self, file: BinaryIO, find_storage: Any) -> None:
        super().__init__(file, encoding="utf-8")
        self._find_storage = find_storage

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return collections.OrderedDict
        if module in ("torch", "torch.storage") and name in STORAGE_DTYPES:
            return _StorageType(STORAGE_DTYPES[name])
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return _StorageType(getattr(torch, name))
        if full in self.CALLS:
            return _Builtin(self.CALLS[full])
        if HARMLESS.fullmatch(full):
            return type("Inert", (Inert,), {})
        raise CheckpointError(
            f"it asks for {full[:80]!r}, which no weights need and which could run code; nothing of it was run"
        )

    def persistent_load(self, saved_id: Any) -> tuple[Storage, torch.dtype]:
        kind, storage_type, key, _, numel = saved_id[:5]
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError("a persistent id that is no tensor storage")
        dtype = storage_type.dtype
        return self._find_storage(str(key), _natural(numel) * dtype.itemsize), dtype


def _unpickle(file: BinaryIO, find_storage: Any) -> Any:
    """One pickle from `file`. Whatever is wrong with these foreign bytes becomes one CheckpointError."""
    try:
        return _Unpickler(file, find_storage).load()
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"its pickle is damaged ({type(error).__name__})") from error


def zip_object(path: Path) -> Any:
    """The object of a zip file made by torch >= 1.6, with StoredTensor in place of tensors.

    Raises:
        CheckpointError: not such a file, damaged, or it wants to run code. The message is a clause that begins with
        "it" or "its".
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
            if len(pickles) != 1:
                raise CheckpointError(f"it is a zip archive without weights of torch (it holds {_examples(members)})")
            root = pickles[0][: -len("data.pkl")]
            if members[pickles[0]].file_size > LARGEST_PICKLE:
                raise CheckpointError("its pickle is larger than any weight file's")
            order = members.get(root + "byteorder")
            if order is not None and order.file_size < 16 and _content(archive, order) == b"big":
                raise CheckpointError("it was written on a big-endian machine; save it again on an ordinary one")

            def find_storage(key: str, nbytes: int) -> Storage:
                storage = _zip_storage(file, members[f"{root}data/{key}"])
                if storage.nbytes < nbytes:
                    raise pickle.UnpicklingError("a storage is shorter than stated")
                return storage

            return _unpickle(io.BytesIO(_content(archive, members[pickles[0]])), find_storage)
    except (
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as error:
        raise CheckpointError("it is an incomplete or damaged zip file of torch (an interrupted download?)") from error


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _check_stored(info)
    return archive.read(info)


def _check_stored(info: zipfile.ZipInfo) -> None:
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError("its archive was compressed by another program than torch; save it again with torch.save")


def _zip_storage(file: BinaryIO, info: zipfile.ZipInfo) -> Storage:
    _check_stored(info)
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile("no local header")
    _, name_length, extra_length = LOCAL_HEADER.unpack(header)
    return Storage(info.header_offset + LOCAL_HEADER.size + name_length + extra_length, info.file_size, info.CRC)


def _examples(names: Any) -> str:
    first = sorted(names)[:2]
    return ", ".join(repr(name[:60]) for name in first) + (" ..." if len(names) > 2 else "") if first else "nothing"


def legacy_object(path: Path) -> Any:
    """The object of a file made by torch < 1.6 (`_use_new_zipfile_serialization=False`): pickles, then the storages one
    after the other.

    Raises:
        CheckpointError: as `zip_object`.
    """
    storages: dict[str, tuple[Storage, int]] = {}

    def find_storage(key: str, nbytes: int) -> Storage:
        return storages.setdefault(key, (Storage(0, nbytes), nbytes))[0]

    end = path.stat().st_size
    with path.open("rb") as file:
        parts = [_unpickle(file, find_storage) for _ in range(LEGACY_PICKLES)]
        keys = parts[4]
        if not isinstance(keys, list) or not storages.keys() <= set(map(str, keys)):
            raise CheckpointError("its list of storages is damaged")
        for key in map(str, keys):
            if key not in storages:
                raise CheckpointError("its list of storages is damaged")
            storage, nbytes = storages[key]
            storage.offset = file.tell() + 8  # an int64 count of elements comes first
            if storage.offset + nbytes > end:
                raise CheckpointError("it ends before its last tensor (an incomplete download)")
            file.seek(storage.offset + nbytes)
    return parts[3]
