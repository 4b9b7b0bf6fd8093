"""Opens any file a user may offer as a model and lists its tensors, without reading their bytes and without running
anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_pia.errors import CheckpointError

from .safetensors_file import looks_like_safetensors, safetensors_index
from .storage import StoredTensor
from .torch_file import LEGACY_START, legacy_object, zip_object

ADVICE = "Download pia.ckpt from Hugging Face (Leoxing/PIA) and put it into models/PIA."
START = 512  # bytes looked at to tell what a file is
DEEPEST = 8  # levels of dicts and lists in a pickle that are searched for tensors

# Wrappings of training scripts and converters. "model." only in front of diffusers names: in LDM files it is part of
# the name.
WRAPPING = re.compile(
    r"^(?:(?:state_dict|module|unet|_orig_mod|model(?=\.(?:down_blocks|up_blocks|mid_block|conv_in)\.))\.)+"
)

# First bytes -> what it is
SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (`git lfs pull` fetches it)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GGUF", "a GGUF model (quantised for other programs)"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)
HTML = re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE)
PLAIN_PICKLE = re.compile(rb"\x80[\x02-\x05]")


@dataclass
class Index:
    """The tensors of one file, by name without wrappings (`state_dict.`, `module.`)."""

    path: Path
    container: str  # "safetensors", "torch zip", "torch legacy"
    tensors: dict[str, StoredTensor]
    others: set[str] = field(default_factory=set)  # names of entries that are no tensors
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name


def read_index(path: str | Path) -> Index:
    """Lists what `path` holds.

    Raises:
        CheckpointError: there is no such file, it is no model file at all, or it is damaged; the sentence says which.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointError("it is a folder, not a file")
        if not path.is_file():
            raise CheckpointError("there is no such file")
        with path.open("rb") as file:
            start = file.read(START)
        return _read(path, start)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name} is not a PIA model: {error}. {ADVICE}") from error.__cause__
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read ({error.strerror or error}). Check the file and its permissions."
        ) from error


def _read(path: Path, start: bytes) -> Index:
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError("it is empty (0 bytes)")
    if start.startswith(b"PK"):
        tensors, others = _flatten(zip_object(path))
        return _checked(Index(path, "torch zip", tensors, others), size)
    if start.startswith(LEGACY_START):
        tensors, others = _flatten(legacy_object(path))
        return _checked(Index(path, "torch legacy", tensors, others), size)
    if looks_like_safetensors(start):
        tensors, metadata = safetensors_index(path)
        named, _ = _unwrapped(tensors.items())
        return _checked(Index(path, "safetensors", named, set(), metadata), size)
    raise CheckpointError(f"it is {_foreign(start, size)}")


def _foreign(start: bytes, size: int) -> str:
    """What a file is that no model reader knows."""
    for signature, what in SIGNATURES:
        if start.startswith(signature):
            return what
    if HTML.match(start):
        return "a web page, not the file behind it (a download that needed a login, or the address of the page)"
    if start[4:8] == b"ftyp":
        return "a video"
    if PLAIN_PICKLE.match(start):
        return "a Python pickle that torch did not write; it was not opened, since pickles can run code"
    if not start.strip(b"\0"):
        return "full of zero bytes (an interrupted download)"
    if start.lstrip()[:1] in (b"{", b"[") and _is_text(start):
        return "a JSON text, not weights"
    if start.lstrip().startswith(b"<?xml"):
        return "an XML text (often a server's error message), not weights"
    if _is_text(start):
        return f"a text file that begins with {start.decode('utf-8', 'replace')[:30]!r}"
    return f"no format of model weights ({size:,} bytes that are neither safetensors nor a torch file)"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < START - 3:  # unless the cut at START went through a character
            return False
        text = start[: error.start].decode("utf-8")
    return not re.search(r"[\x00-\x08\x0e-\x1f]", text)


def _checked(index: Index, size: int) -> Index:
    for name, tensor in index.tensors.items():
        storage = tensor.storage
        inside = isinstance(storage.offset, int) and 0 <= storage.offset <= storage.offset + storage.nbytes <= size
        if not inside or not tensor.fits():
            raise CheckpointError(f"its tensor {name[:80]} does not fit into the file (damaged)")
    return index


def _flatten(tree: Any) -> tuple[dict[str, StoredTensor], set[str]]:
    if isinstance(tree, StoredTensor):
        raise CheckpointError("it holds one tensor without a name")
    return _unwrapped(_leaves(tree, "", 0, set()))


def _leaves(tree: Any, prefix: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything below `tree`; each container once, so that no reference to itself matters."""
    if isinstance(tree, dict):
        children = dict.items(tree)
    elif isinstance(tree, (list, tuple)):
        children = enumerate(tree)
    else:
        yield prefix, tree
        return
    if id(tree) in seen or depth > DEEPEST:
        return
    seen.add(id(tree))
    for key, value in children:
        label = str(key) if isinstance(key, (str, int)) else "?"
        yield from _leaves(value, f"{prefix}.{label}" if prefix else label, depth + 1, seen)


def _unwrapped(leaves: Any) -> tuple[dict[str, StoredTensor], set[str]]:
    tensors: dict[str, StoredTensor] = {}
    others: set[str] = set()
    for name, value in leaves:
        name = WRAPPING.sub("", name)
        if not isinstance(value, StoredTensor):
            others.add(name)
        elif name in tensors:
            raise CheckpointError(f"it holds two tensors called {name[:80]} (two models in one file)")
        else:
            tensors[name] = value
    return tensors, others
