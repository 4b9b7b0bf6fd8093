"""PIA models in all their forms give the same PIAModel; writing, converting, describing, the command line."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lib_pia.checkpoint import convert, describe, load_pia_model, save_pia_model
from lib_pia.checkpoint.__main__ import main
from lib_pia.checkpoint.layout import meta_model
from lib_pia.errors import CheckpointError, HostError
from lib_pia.model import SD15_CHANNELS, official_state_dict
from tests.tiny_models import diffusers_pia, ldm_checkpoint, official_pia, official_to_diffusers, weights

CHANNELS = (32, 64, 128, 128)


@pytest.fixture(scope="module")
def official():
    return official_pia()


@pytest.fixture(scope="module")
def official_file(official, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "pia.ckpt"
    torch.save(official, path)
    return path


@pytest.fixture(scope="module")
def reference(official_file):
    return load_pia_model(official_file).state_dict()


def assert_same(model, reference):
    state = model.state_dict()
    assert state.keys() == reference.keys()
    assert all(torch.equal(state[name], reference[name]) for name in reference)


def test_official_pickle_gives_its_own_tensors(official_file, official):
    model = load_pia_model(official_file)
    state = model.state_dict()
    assert model.channels == CHANNELS and model.max_frames == 32
    assert torch.equal(state.pop("conv_in.weight"), official["conv_in.weight"][:, 4:])
    assert all(torch.equal(value, official[name]) for name, value in state.items())
    assert len(state) == len(official) - 2  # without conv_in.weight and conv_in.bias
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def pickled(wrap, **options):
    return lambda official, path: torch.save(wrap(official), path, **options)


def safetensored(wrap):
    return lambda official, path: save_file({k: v.contiguous() for k, v in wrap(official).items()}, path)


def dumped(official):
    """A whole UNet of the paper's code: its other tensors beside PIA's."""
    return {**weights("unet"), **official}


def module(official):
    return {f"module.{name}": value for name, value in official.items()}


TRAINING_STATE = {
    "args": argparse.Namespace(lr=1e-5),
    "loss": np.float64(0.5),
    "out": Path("x"),
    "shape": torch.Size([1]),
    "dtype": torch.float16,
    "tags": {"a"},
    "rng": torch.get_rng_state(),
}

FORMS = {
    "legacy.ckpt": pickled(dict, _use_new_zipfile_serialization=False),
    "ordered.ckpt": pickled(OrderedDict),
    "state_dict.ckpt": pickled(lambda o: {"epoch": 3, "global_step": 4500, "state_dict": o}),
    "module.ckpt": pickled(module),
    "both.ckpt": pickled(lambda o: {"state_dict": module(o), "lr": 1e-5}),
    "dump.ckpt": pickled(dumped),
    "wrapped_dump.ckpt": pickled(lambda o: {"state_dict": module(dumped(o))}),
    "parameters.ckpt": pickled(lambda o: {k: torch.nn.Parameter(v) for k, v in o.items()}),
    "training_state.ckpt": pickled(lambda o: {"state_dict": o, **TRAINING_STATE}),
    "flat.safetensors": safetensored(dict),
    "module.safetensors": safetensored(module),
    "dump.safetensors": safetensored(dumped),
    "diffusers.safetensors": safetensored(lambda o: {official_to_diffusers(k): v for k, v in o.items()}),
    "diffusers.ckpt": pickled(lambda o: {official_to_diffusers(k): v for k, v in o.items()}),
    "diffusers_dump.safetensors": safetensored(
        lambda o: {**weights("unet"), **{official_to_diffusers(k): v for k, v in o.items()}}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_model(form, official, reference, tmp_path):
    FORMS[form](official, tmp_path / form)
    assert_same(load_pia_model(tmp_path / form), reference)
    kind = describe(tmp_path / form)
    assert kind.is_pia and kind.channels == CHANNELS and kind.max_frames == 32 and "float32" in kind.dtype


def test_views_of_one_storage_and_transposed_tensors_load(official, reference, tmp_path):
    both = torch.stack([official["conv_in.bias"], official["conv_in.bias"] + 1])
    name = "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight"
    torch.save(
        {**official, "conv_in.bias": both[1], "other": both, name: official[name].t().contiguous().t()},
        tmp_path / "pia.ckpt",
    )
    assert_same(load_pia_model(tmp_path / "pia.ckpt"), reference)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_half_files_stay_half_and_are_within_rounding(dtype, suffix, official, reference, tmp_path):
    path = tmp_path / f"pia{suffix}"
    half = {name: value.to(dtype) for name, value in official.items()}
    torch.save(half, path) if suffix == ".ckpt" else save_file(half, path)
    state = load_pia_model(path).state_dict()
    assert {value.dtype for value in state.values()} == {dtype}
    assert all(torch.equal(state[name], value.to(dtype)) for name, value in reference.items())
    assert {value.dtype for value in load_pia_model(path, dtype=torch.float32).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("kinds", [(torch.float64,), (torch.float16, torch.float32), (torch.float8_e4m3fn,)])
def test_types_to_compute_in_are_chosen_for_mixed_and_odd_files(kinds, official, tmp_path):
    save_file(
        {name: value.to(kinds[i % len(kinds)]) for i, (name, value) in enumerate(official.items())},
        tmp_path / "pia.safetensors",
    )
    assert {value.dtype for value in load_pia_model(tmp_path / "pia.safetensors").state_dict().values()} == {
        torch.float32
    }


def test_asked_dtype_is_given(official_file, reference):
    state = load_pia_model(official_file, dtype=torch.float16).state_dict()
    assert all(torch.equal(state[name], value.half()) for name, value in reference.items())


def test_too_large_for_half_is_said_instead_of_becoming_infinite(official, tmp_path):
    torch.save({**official, "conv_in.weight": official["conv_in.weight"] + 1e5}, tmp_path / "pia.ckpt")
    load_pia_model(tmp_path / "pia.ckpt")
    with pytest.raises(CheckpointError, match=r"half precision: conv_in.weight holds 1e\+05.*65504"):
        load_pia_model(tmp_path / "pia.ckpt", dtype=torch.float16)
    with pytest.raises(CheckpointError, match="half precision"):
        convert(tmp_path / "pia.ckpt", tmp_path / "out.safetensors", half=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pia.ckpt"]


def test_model_does_not_depend_on_the_file_afterwards(official, reference, tmp_path):
    for name in ("pia.ckpt", "pia.safetensors"):
        path = tmp_path / name
        torch.save(official, path) if path.suffix == ".ckpt" else save_file(official, path)
        model = load_pia_model(path)
        path.write_bytes(bytes(path.stat().st_size))  # in place: a mapped file would change the weights
        assert_same(model, reference)


def test_the_hosts_torch_load_is_not_used(official_file, reference, monkeypatch):
    monkeypatch.setattr(
        torch, "load", lambda *_, **__: None
    )  # the WebUI's replacement returns None for what it rejects
    monkeypatch.setattr(torch.serialization, "load", None)
    assert_same(load_pia_model(official_file), reference)


def test_saved_model_loads_equal_and_any_reader_reads_it(official_file, reference, tmp_path):
    model, path = load_pia_model(official_file), tmp_path / "my.safetensors"
    save_pia_model(model, path, metadata={"steps": "100"})
    assert_same(load_pia_model(path), reference)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "pia_naming": "official", "steps": "100"}
        assert file.get_tensor("conv_in.weight").shape == (32, 9, 3, 3)
    save_pia_model(model, path, half=True)  # replaces
    assert all(torch.equal(value, reference[name].half()) for name, value in load_pia_model(path).state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["my.safetensors"]


def test_failed_save_leaves_the_old_file_and_no_other(official_file, tmp_path):
    model, path = load_pia_model(official_file), tmp_path / "my.safetensors"
    path.write_bytes(b"old")
    model.up[3].temporal_transformer.proj_out.bias[0] = float("nan")
    with pytest.raises(CheckpointError, match=r"up_blocks\.1\.motion_modules\.0.*NaN"):
        save_pia_model(model, path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(HostError, match="cannot be written"):
        save_pia_model(model, tmp_path / "missing" / "my.safetensors")


@pytest.mark.parametrize("form", ["pia.ckpt", "diffusers.ckpt"])
def test_conversion_keeps_all_of_conv_in_and_names_its_source(form, official, official_file, tmp_path):
    import hashlib

    source, out = tmp_path / form, tmp_path / "out.safetensors"
    torch.save(official if form == "pia.ckpt" else diffusers_pia(), source)
    convert(source, out)
    tensors = load_file(out)
    assert tensors.keys() == official.keys() and all(torch.equal(tensors[name], official[name]) for name in official)
    with safe_open(out, "pt") as file:
        assert file.metadata()["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert file.metadata()["source"] == form
    convert(source, out, half=True, force=True)
    assert all(torch.equal(value, official[name].half()) for name, value in load_file(out).items())


def test_conversion_overwrites_only_when_asked(official_file, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="there already.*--force"):
        convert(official_file, out)
    assert out.read_bytes() == b"mine"
    convert(official_file, out, force=True)
    with pytest.raises(CheckpointError, match="there already"):
        convert(out, out, force=True)
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        convert(official_file, tmp_path / "out.ckpt")


def test_command_line(official_file, tmp_path, capsys):
    out = str(tmp_path / "out.safetensors")
    assert main([str(official_file), out, "--half"]) == 0
    assert main(["inspect", out]) == 0
    text = capsys.readouterr().out
    assert (
        "a PIA model (official names, safetensors), 4,319,904 numbers, float16, widths 32/64/128/128, up to 32 frames"
        in text
    )
    assert main([str(official_file), out]) == 1
    assert "there already" in capsys.readouterr().err
    (tmp_path / "lora.ckpt").write_bytes(b"")
    assert main(["inspect", str(tmp_path / "lora.ckpt")]) == 1
    assert capsys.readouterr().out == (
        "lora.ckpt is not a PIA model: it is empty (0 bytes). "
        "Download pia.ckpt from Hugging Face (Leoxing/PIA) and put it into models/PIA.\n"
    )
    with pytest.raises(SystemExit) as usage:
        main([])
    assert usage.value.code == 2


def test_command_line_as_a_program_shows_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lib_pia.checkpoint", str(tmp_path / "none.ckpt"), str(tmp_path / "out.safetensors")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.startswith("none.ckpt is not a PIA model: there is no such file.") and done.stderr.count("\n") == 1
    )


def test_describe_reads_headers_only(official_file, monkeypatch):
    """A model list must not read gigabytes."""
    from lib_pia.checkpoint import loading

    monkeypatch.setattr(loading, "read_tensor", None)
    kind = describe(official_file)
    assert (
        kind.is_pia
        and kind.name == "a PIA model"
        and kind.detail == "official names, torch zip"
        and kind.parameters == 4_319_904
    )


def test_tiny_checkpoint_is_told_from_its_unet_dump(tmp_path):
    save_file({k: v.contiguous() for k, v in ldm_checkpoint().items()}, tmp_path / "sd.safetensors")
    assert (
        describe(tmp_path / "sd.safetensors").name == "a plain Stable Diffusion checkpoint"
    )  # context 128: no known version


@pytest.mark.parametrize("path", ["README.md", "javascript/pia_notice.js", "localizations/zh_CN.json"])
def test_the_size_of_pia_ckpt_is_the_same_everywhere(path):
    """In GB of 10^9 bytes, as Hugging Face and browsers say it."""
    model = meta_model(SD15_CHANNELS, 32)
    size = sum(4 * tensor.numel() for tensor in official_state_dict(model).values()) / 1e9
    told = re.findall(r"pia\.ckpt`? \(([0-9.]+ GB)\)", (Path(__file__).parents[2] / path).read_text(encoding="utf-8"))
    assert told and set(told) == {f"{size:.1f} GB"}
