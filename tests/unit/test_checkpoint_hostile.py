"""Damaged files, files that are no models, and pickles that want to run code: always one sentence, never a traceback,
never code."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lib_pia.checkpoint import describe, load_pia_model, save_pia_model, torch_file
from lib_pia.checkpoint.torch_file import LEGACY_START
from lib_pia.errors import CheckpointError
from lib_pia.model import PIAModel, official_state_dict

ADVICE = "Download pia.ckpt from Hugging Face (Leoxing/PIA) and put it into models/PIA."


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """{container: bytes of a PIA model of width 32}"""
    folder = tmp_path_factory.mktemp("good")
    model = PIAModel((32, 32, 32, 32))
    tensors = official_state_dict(model)
    save_pia_model(model, folder / "pia.safetensors")
    torch.save(tensors, folder / "zip.ckpt")
    torch.save(tensors, folder / "legacy.ckpt", _use_new_zipfile_serialization=False)
    return {
        "safetensors": (folder / "pia.safetensors").read_bytes(),
        "zip": (folder / "zip.ckpt").read_bytes(),
        "legacy": (folder / "legacy.ckpt").read_bytes(),
    }


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load_pia_model(path)
    text = str(error.value)
    assert text.startswith(path.name) and "\n" not in text
    return text


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "it is empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1800000000\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
        (b"\n  <html lang=en>", "a web page"),
        (b'{"error": "Repository not found"}', "a JSON text"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML text"),
        (b"Entry not found", "a text file that begins with 'Entry not found'"),
        (b"\x89PNG\r\n\x1a\n....", "a PNG picture"),
        (b"\x00\x00\x00\x18ftypmp42........", "a video"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF model"),
        (bytes(1000), "full of zero bytes"),
        (b"\x01\xfe\x93" * 100, "no format of model weights (300 bytes"),
        (b"\xff", "no format of model weights (1 bytes"),
        (pickle.dumps({"a": 1}), "a Python pickle that torch did not write"),
        (pickle.dumps({"a": 1}, protocol=0), "a text file"),
    ],
)
def test_no_model_file(content, says, tmp_path):
    (tmp_path / "pia.ckpt").write_bytes(content)
    text = refusal(tmp_path / "pia.ckpt")
    assert text.startswith("pia.ckpt is not a PIA model: it is ") and says in text and text.endswith(ADVICE)
    assert describe(tmp_path / "pia.ckpt").detail == text


def test_folder_missing_file_and_impossible_name(tmp_path):
    assert "it is a folder" in refusal(tmp_path)
    assert "there is no such file" in refusal(tmp_path / "pia.ckpt")
    with pytest.raises(CheckpointError):
        load_pia_model("a\0b")


def test_unreadable_file(good, tmp_path, monkeypatch):
    path = tmp_path / "pia.ckpt"
    path.write_bytes(good["zip"])
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert refusal(path) == "pia.ckpt cannot be read (Permission denied). Check the file and its permissions."


@pytest.mark.parametrize(
    "container, says", [("safetensors", "of its"), ("zip", "incomplete or damaged zip"), ("legacy", "")]
)
@pytest.mark.parametrize("part", [0.0005, 0.01, 0.5, 0.999])
def test_truncated(container, says, part, good, tmp_path):
    path = tmp_path / "pia.ckpt"
    path.write_bytes(good[container][: int(len(good[container]) * part)])
    text = refusal(path)
    assert text.endswith(ADVICE) and ("damaged" in text or "incomplete" in text), text
    if part >= 0.5:
        assert says in text and "incomplete" in text


def test_flipped_bit_in_a_weight_of_a_zip_is_noticed(good, tmp_path):
    data = bytearray(good["zip"])
    data[len(data) // 2] ^= 1
    (tmp_path / "pia.ckpt").write_bytes(data)
    assert "do not have the checksum" in refusal(tmp_path / "pia.ckpt")


def test_zip_of_other_things(tmp_path):
    for members, says in (({"a.txt": b"x"}, "without weights of torch (it holds 'a.txt')"), ({}, "(it holds nothing)")):
        with zipfile.ZipFile(tmp_path / "pia.ckpt", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        assert says in refusal(tmp_path / "pia.ckpt")


def repacked(good: bytes, path: Path, change, compression=zipfile.ZIP_STORED) -> None:
    """The torch zip `good` with its members passed through `change(name, bytes)`."""
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                target.writestr(name, content)


@pytest.mark.parametrize(
    "change, says",
    [
        (
            lambda name, data: data if not name.endswith("data/3") else None,
            "its pickle is damaged",
        ),  # a storage is missing
        (
            lambda name, data: data[:-4] if name.endswith("data/3") else data,
            "its pickle is damaged",
        ),  # a storage is too short
        (lambda name, data: data[:100] if name.endswith("data.pkl") else data, "its pickle is damaged"),
        (lambda name, data: b"big" if name.endswith("byteorder") else data, "big-endian"),
    ],
)
def test_damaged_members(change, says, good, tmp_path):
    repacked(good["zip"], tmp_path / "pia.ckpt", change)
    assert says in refusal(tmp_path / "pia.ckpt")


def test_compressed_archive(good, tmp_path):
    repacked(good["zip"], tmp_path / "pia.ckpt", lambda _, data: data, zipfile.ZIP_DEFLATED)
    assert "compressed by another program" in refusal(tmp_path / "pia.ckpt")


def test_endless_pickle_is_not_read(good, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "LARGEST_PICKLE", 1000)
    (tmp_path / "pia.ckpt").write_bytes(good["zip"])
    assert "its pickle is larger than any weight file's" in refusal(tmp_path / "pia.ckpt")


# Pickles that want to run code


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def evil_objects(marker: Path):
    import os
    import subprocess as sub

    yield "os.system", Evil(os.system, f"touch {marker}")
    yield "eval", Evil(eval, f"open({str(marker)!r}, 'w').close()")
    yield "exec", Evil(exec, f"open({str(marker)!r}, 'w').close()")
    yield "subprocess", Evil(sub.check_call, ["touch", str(marker)])
    yield "open", Evil(open, str(marker), "w")
    yield "getattr", Evil(getattr, "x", "upper")
    yield "torch", Evil(torch.serialization.load, str(marker))
    yield "nested", {"conv_in.weight": {"deep": [Evil(os.system, f"touch {marker}")]}}
    yield "module", torch.nn.Linear(2, 2)


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_runs(number, legacy, tmp_path):
    marker = tmp_path / "ran"
    _, evil = list(evil_objects(marker))[number]
    path = tmp_path / "pia.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(2)}, "evil": evil}, path, _use_new_zipfile_serialization=not legacy)
    text = refusal(path)
    assert not marker.exists()
    assert "which could run code; nothing of it was run" in text
    assert not describe(path).is_pia and not marker.exists()


def test_the_marker_test_can_fail(tmp_path):
    """The same file does run code where a plain unpickler opens it."""
    import os

    pickle.loads(pickle.dumps(Evil(os.system, f"touch {tmp_path / 'ran'}")))
    assert (tmp_path / "ran").exists()


def zip_with_pickle(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00(t(ttR.",  # a tensor without a storage
        # two numbers for a storage
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02\x86K\x00))tRs.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x03\x00\x00\x00foo(K\x01u}b.",  # changes what it calls
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x09\x00\x00\x00_functionK\x01s\x86b.",
        b"\x80\x02ccollections\nOrderedDict\nN}X\x05\x00\x00\x00itemsK\x01s\x86b.",
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo of 32 GB in the C unpickler
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x00.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x82\x01.",
        b"(" * 100000 + b".",
        b".",
        b"",
        b"\x80\x02" + b"]" * 50000 + b"a" * 49999 + b".",  # lists in lists
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",  # a dict that holds itself
        b"\x80\x02](h\x00e.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
        b"Pabc\n.",
    ],
)
def test_crafted_pickles_are_refused_and_change_nothing(data, good, tmp_path):
    refusal(zip_with_pickle(tmp_path / "pia.ckpt", data))
    (tmp_path / "good.ckpt").write_bytes(good["zip"])
    assert describe(tmp_path / "good.ckpt").is_pia


def test_a_pickle_cannot_change_what_it_calls(tmp_path):
    before = torch_file._rebuild_tensor.__doc__
    change = b"N}X\x07\x00\x00\x00__doc__X\x03\x00\x00\x00foos\x86b."  # setattr(rebuild, "__doc__", "foo")
    refusal(zip_with_pickle(tmp_path / "pia.ckpt", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + change))
    assert torch_file._rebuild_tensor.__doc__ == before


def test_tensors_cannot_reach_outside_their_storage(good, tmp_path):
    """The first shape or offset of each tensor made larger: refused, not read from a neighbour or beyond the file."""
    with zipfile.ZipFile(io.BytesIO(good["zip"])) as archive:
        data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    offset = next(
        position for opcode, value, position in pickletools.genops(data) if opcode.name == "BININT1" and value == 0
    )
    changed = data[: offset + 1] + b"\x07" + data[offset + 2 :]  # first element 7 instead of 0
    repacked(
        good["zip"], tmp_path / "pia.ckpt", lambda name, content: changed if name.endswith("data.pkl") else content
    )
    assert "does not fit into the file" in refusal(tmp_path / "pia.ckpt")


# Safetensors


def safetensors(header, data=b"", length=None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"{"),
        safetensors(b'{"a": 1}'),
        safetensors(b'{"a": {"dtype": "F32"}}'),
        safetensors(b"{} trailing"),
        safetensors(b"{" + b"[" * 50000),
        safetensors({}, length=5000),
        safetensors(b'{"\xff": 1}'),
        safetensors({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"__metadata__": 3, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, bytes(4)),
    ],
)
def test_damaged_safetensors(content, tmp_path):
    (tmp_path / "pia.safetensors").write_bytes(content)
    text = refusal(tmp_path / "pia.safetensors")
    assert "damaged" in text or "incomplete" in text, text


def test_empty_safetensors(tmp_path):
    save_file({}, tmp_path / "pia.safetensors")
    assert "a file without tensors" in refusal(tmp_path / "pia.safetensors")


# Anything

PREFIXES = st.sampled_from(
    [b"", b"PK\x03\x04", LEGACY_START, b"\x10\0\0\0\0\0\0\0{", b"\x80\x02", b'\x08\0\0\0\0\0\0\0{"a":{}}']
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=PREFIXES, data=st.binary(max_size=400))
@example(prefix=LEGACY_START, data=b"\x80\x02M\xe9\x03.}.}.].")
def test_random_bytes_are_always_a_sentence(prefix, data, tmp_path):
    (tmp_path / "pia.ckpt").write_bytes(prefix + data)
    assert refusal(tmp_path / "pia.ckpt")
    assert describe(tmp_path / "pia.ckpt").detail


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_model_loads_or_is_a_sentence(data, good, tmp_path):
    """One run of bytes of a good file overwritten, mostly in its index."""
    content = bytearray(good[data.draw(st.sampled_from(sorted(good)))])
    near = data.draw(st.sampled_from([0, len(content) - 2000, len(content) // 2]))
    start = near + data.draw(st.integers(0, 1990))
    patch = data.draw(st.binary(min_size=1, max_size=8))
    content[start : start + len(patch)] = patch
    (tmp_path / "pia.ckpt").write_bytes(content)
    try:
        load_pia_model(tmp_path / "pia.ckpt")
    except CheckpointError as error:
        assert "\n" not in str(error)


def small_file(container: str) -> bytes:
    buffer = io.BytesIO()
    if container == "safetensors":
        return safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))
    torch.save({"a": torch.ones(2), "b": 1}, buffer, _use_new_zipfile_serialization=container == "zip")
    if container == "deflated":
        torch.save({"a": torch.ones(2)}, buffer)
        packed = io.BytesIO()
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
        return packed.getvalue()
    return buffer.getvalue()


SMALL = {container: small_file(container) for container in ("zip", "deflated", "legacy", "safetensors")}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_of_a_small_file_is_a_sentence(data, tmp_path):
    content = bytearray(SMALL[data.draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "pia.ckpt").write_bytes(
        content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content
    )
    refusal(tmp_path / "pia.ckpt")


# Memory

PEAK = """
import sys
from lib_pia.checkpoint import convert, load_pia_model
small, big, out = sys.argv[1:]
load_pia_model(small)
peak = lambda: next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
convert(big, out, half=True)
print(peak() - before)
model = load_pia_model(big)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_copy_of_the_weights_at_most(good, tmp_path):
    """Peak memory beyond what a tiny model took, in a process of its own. torch.load and load_state_dict together take
    twice the file."""
    (tmp_path / "small.ckpt").write_bytes(good["zip"])
    with torch.device("meta"):
        shapes = official_state_dict(PIAModel((128, 192, 256, 320)))
    torch.save({name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}, tmp_path / "big.ckpt")
    size = (tmp_path / "big.ckpt").stat().st_size
    assert size > 80e6
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "small.ckpt", tmp_path / "big.ckpt", tmp_path / "out.safetensors"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=True,
    )
    converting, loading = map(int, done.stdout.split())
    assert converting < 0.35 * size and 0.5 * size < loading < 1.25 * size
