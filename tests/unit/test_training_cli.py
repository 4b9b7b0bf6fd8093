"""The command line on a small checkpoint, and the adapter that reads checkpoints."""

import csv
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_pia.checkpoint import load_pia_model
from lib_pia.errors import TrainingError
from lib_pia.training import AffinityScale, ldm_checkpoint
from lib_pia.training import __main__ as cli
from lib_pia.training.__main__ import main
from lib_pia.training.ldm_checkpoint import LdmCheckpoint, read_layout
from lib_pia.training.weights import read_tensors
from tests.unit.training_checkpoint import write_checkpoint, write_clips

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    write_checkpoint(folder / "models")
    write_clips(folder / "clips")
    return folder


def arguments(place, out, *more):
    paths = {
        "checkpoint": place / "models" / "small.safetensors",
        "clip": place / "models" / "clip",
        "clips": place / "clips",
        "out": out,
    }
    return [
        *(part for name, path in paths.items() for part in (f"--{name}", str(path))),
        "--frames",
        "3",
        "--stride",
        "2",
        "--batch-size",
        "1",
        "--device",
        "cpu",
        "--quiet",
        *more,
    ]


def test_training_from_the_command_line(place, tmp_path, capsys):
    out = tmp_path / "run"
    before = (place / "models" / "small.safetensors").read_bytes()
    assert main(arguments(place, out, "--steps", "2", "--cache-latents")) == 0
    assert capsys.readouterr().out == f"{out / 'pia.safetensors'}\n"
    first = load_pia_model(out / "pia.safetensors")
    assert first.channels == (32, 32, 32, 32) and first.condition.weight.any()
    assert len(AffinityScale.load(out / "affinity_scale.json").percentiles) == 3
    assert (place / "models" / "small.safetensors").read_bytes() == before
    assert main(arguments(place, out, "--steps", "3", "--cache-latents")) == 1
    assert capsys.readouterr().err == f"{out} holds a run; go on with it (--resume), or choose another folder.\n"
    assert main(arguments(place, out, "--steps", "3", "--cache-latents", "--resume")) == 0
    with (out / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_a_run_starts_from_a_pia_file(place, tmp_path):
    assert main(arguments(place, tmp_path / "a", "--steps", "1", "--stage", "motion")) == 0
    start = str(tmp_path / "a" / "pia.safetensors")
    options = (
        "--steps",
        "1",
        "--learning-rate",
        "0",
        "--weight-decay",
        "0",
        "--init",
        start,
        "--affinity-scale",
        "webvid",
    )
    assert main(arguments(place, tmp_path / "b", *options)) == 0
    a, b = (load_file(tmp_path / run / "pia.safetensors") for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert len(AffinityScale.load(tmp_path / "b" / "affinity_scale.json").percentiles) == 16


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--steps", "0"], "steps is 0"),
        (["--frames", "40"], "frames is 40"),
        (["--checkpoint", "no.safetensors"], "no.safetensors does not"),
        (["--clips", "none"], "none is no folder"),
        (["--clip", "/none"], "tokenizer could not be loaded from /none; give --clip a folder"),
        (["--frames", "9"], "fast.gif has 7 frames"),
        (["--affinity-scale", "none.json"], "none.json is no affinity scale"),
        (["--device", "abacus"], "'abacus' is unknown"),
    ],
)
def test_bad_input_is_one_sentence_before_training(place, tmp_path, capsys, more, sentence):
    assert main(arguments(place, tmp_path / "run", *more)) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "run" / "log.csv").exists()


def test_too_little_gpu_memory_is_one_sentence(place, tmp_path, capsys, monkeypatch):
    def too_little(args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cli, "run", too_little)
    assert main(arguments(place, tmp_path)) == 1
    assert capsys.readouterr().err.startswith("The GPU's memory is not enough; add --gradient-checkpointing")


def test_the_adapter_gives_the_checkpoints_own_numbers(place):
    from ldm.modules.distributions.distributions import DiagonalGaussianDistribution

    parts = write_checkpoint(place / "other")
    unet, vae, text = parts.values()
    loaded = LdmCheckpoint(place / "other" / "small.safetensors", clip=str(place / "other" / "clip"))
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        posterior = DiagonalGaussianDistribution(vae.quant_conv(vae.encoder(pixels)))
        ids = torch.tensor([[513, 512, 256 + 64, *[514] * 74]])  # <start> ba a</w> <end>, filled up with <end>
        wanted = text(ids).last_hidden_state
        x, step = torch.ones(1, 4, 16, 8), torch.tensor([5])
        assert torch.equal(loaded.unet(x, step, context=wanted), unet(x, step, context=wanted))
    mean, deviation = loaded.moments(pixels)
    assert torch.equal(mean, posterior.mean) and torch.allclose(deviation, posterior.std)
    assert torch.equal(loaded.encode_text(["baa"]), wanted) and loaded.encode_text(["b " * 200, ""]).shape == (2, 77, 8)


def refused(place, sentence, config=None, tensors=None):
    path = place / "models" / "small.safetensors"
    if tensors is not None:
        path = place / "models" / "changed.safetensors"
        save_file(tensors, path)
    with pytest.raises(TrainingError, match=sentence):
        LdmCheckpoint(path, config or place / "models" / "small.yaml", str(place / "models" / "clip"))


@pytest.fixture
def tensors(place):
    return load_file(place / "models" / "small.safetensors")


def test_checkpoints_without_a_part_are_refused(place, tensors):
    for prefix in ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."):
        refused(
            place,
            f"has no {prefix}",
            tensors={key: value for key, value in tensors.items() if not key.startswith(prefix)},
        )
    other = {key.replace("transformer.text_model.", "transformer.roberta."): value for key, value in tensors.items()}
    refused(place, "another text encoder", tensors=other)
    del tensors["model.diffusion_model.out.2.bias"]
    refused(place, "lacks UNet's out.2.bias, so it is no SD1.5-layout checkpoint", tensors=tensors)


def test_a_checkpoint_of_another_size_needs_its_yaml(place, tensors):
    save_file(tensors, place / "models" / "bare.safetensors")
    layout = read_layout(place / "models" / "bare.safetensors")
    assert layout.unet["model_channels"] == 320
    (place / "wrong.yaml").write_text(
        (place / "models" / "small.yaml").read_text().replace("context_dim: 8", "context_dim: 16")
    )
    refused(place, r"the layout says \[32, 16\]; give the checkpoint's yaml", config=place / "wrong.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1", "is no checkpoint config"),
        ("[", "is no checkpoint config"),
        ("model: 3", "is no checkpoint config"),
        (
            "model: "
            "{params: {parameterization: v, unet_config: {params: {}}, first_stage_config: {params: {ddconfig: {}}}}}",
            "says parameterization: v; PIA is trained on models that predict noise",
        ),
    ],
)
def test_configs_that_do_not_fit_are_refused(place, text, sentence):
    (place / "bad.yaml").write_text(text)
    refused(place, sentence, config=place / "bad.yaml")


@pytest.mark.parametrize(("held", "asked", "warned"), [(True, [True], 0), (False, [True, False], 1)])
def test_the_tokenizer_is_looked_for_here_before_the_network_is_asked(monkeypatch, caplog, held, asked, warned):
    from transformers import CLIPTokenizer

    seen = []

    def from_pretrained(name, local_files_only):
        seen.append(local_files_only)
        if local_files_only and not held:
            raise OSError("not in the cache")
        return name

    monkeypatch.setattr(CLIPTokenizer, "from_pretrained", from_pretrained)
    assert ldm_checkpoint.build_tokenizer("openai/clip-vit-large-patch14") == "openai/clip-vit-large-patch14"
    assert seen == asked
    assert len(caplog.messages) == warned and all("asking Hugging Face" in message for message in caplog.messages)


def test_missing_packages_are_named_with_the_command(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "ldm.modules.diffusionmodules.openaimodel", None)
    refused(place, "needs LDM's classes and transformers .*; install them: pip install")


def test_files_that_are_no_tensors_are_refused(tmp_path):
    for name in ("a.safetensors", "a.ckpt"):
        (tmp_path / name).write_bytes(b"x" * 50)
        with pytest.raises(
            TrainingError, match=f"{name} cannot be read .*; it must be a .safetensors or .ckpt file, complete"
        ):
            read_tensors(tmp_path / name)
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, tmp_path / "b.ckpt")
    assert list(read_tensors(tmp_path / "b.ckpt")) == ["w"]


def test_the_library_needs_neither_ldm_nor_transformers():
    import subprocess

    others = {"ldm", "transformers", "yaml", "modules", "gradio"}
    code = f"import sys, lib_pia.training; sys.exit(bool({others} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
