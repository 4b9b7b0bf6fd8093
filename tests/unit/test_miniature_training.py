"""The miniature's stages: what trains, what stays, and a stage that was stopped goes on where it was."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demo.miniature import base, lora, pia, text, through
from demo.miniature.__main__ import Recipe, Work, main
from demo.miniature.clips import ClipPool, PoolSource, clip_pool
from demo.miniature.net import Miniature
from demo.miniature.training_log import Run, trapezoid
from lib_pia.training import Processes, TrainConfig, fresh_model

torch.set_num_threads(1)
SMALL = {
    "vae_steps": 2, "encoder_steps": 1, "clips": 3, "text_steps": 1, "base_steps": 2, "motion_steps": 1,
    "condition_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Miniature:
    torch.manual_seed(0)
    model = Miniature().eval()
    through.open_way(model.unet)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def pool(model) -> ClipPool:
    return clip_pool(model.vae, seed=5, count=3)


def test_the_text_encoder_alone_learns_what_captions_say(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.miniature.training_log.ROWS", 6)
    torch.manual_seed(1)
    model = Miniature().requires_grad_(False)
    model.text.requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    text.train(model, Run(tmp_path), 18, batch=4, rate=3e-3)
    losses = [float(row.split(",")[-1]) for row in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert losses[2] < 0.9 * losses[0] < len(text.FACTS) * math.log(2)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"text"}


def test_the_facts_of_a_caption_are_its_words():
    rng = np.random.default_rng(1)
    for caption, facts in (text.random_caption(rng) for _ in range(200)):
        assert facts <= set(text.FACTS) and len(facts) >= (1 if caption else 0)
        assert {word for fact in facts for word in fact.split()} <= set(caption.replace(",", "").split())


def test_the_base_trains_all_but_the_way_the_text_and_the_vae(model, pool, tmp_path):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    base.train(model, Run(tmp_path), pool, 2, batch=4)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("text.", "vae.")))
    for name, (mask, value) in through.fixed_of_unet(model.unet).items():
        assert torch.equal(after["unet." + name][mask], value[mask]), name
    trained = [name for name in before if name.startswith("unet.") and not torch.equal(before[name], after[name])]
    assert len(trained) > 0.8 * len(list(model.unet.parameters()))  # before a layer that starts at zero: a step later


def test_pictures_are_frames_that_show_what_the_caption_says():
    numbered = torch.arange(16.0).view(1, 16, 1, 1, 1).expand(2, -1, 4, 8, 8)
    pictures = base.Pictures(numbered, torch.zeros(2, 77, 3), torch.zeros(77, 3), torch.tensor([6, 6]))
    drawn = pictures.draw(200)[0][:, 0, 0, 0]
    assert drawn.min() == 6 and drawn.max() == 15 and len(drawn.unique()) > 5


def test_two_processes_draw_different_pictures_and_half_the_batch_each(model, pool, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Processes, "wrap", lambda self, module: module)
    monkeypatch.setattr(base, "picture_loss", lambda unet, new, texts: drawn.append(new) or unet(new).mean())
    layer = torch.nn.Conv2d(4, 1, 8)
    for rank in (0, 1):
        processes = Processes(rank, 2)
        run = Run(tmp_path / str(rank), writes=rank == 0)
        descent = base.Descent(torch.optim.SGD(layer.parameters(), 1e-3), 0.9, through.Held(layer, {}), processes)
        descent.train(run, 1, layer, base.Pictures.of(pool, model), 8)
    assert [len(latents) for latents in drawn] == [4, 4] and not torch.equal(*drawn)
    assert (tmp_path / "0" / "checkpoint.pt").exists() and not (tmp_path / "1" / "checkpoint.pt").exists()


def test_pia_trains_on_a_frozen_base_and_leaves_the_way_alone(model, pool, tmp_path):
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    start = fresh_model(model.unet)
    with torch.no_grad():
        for parameter in start.parameters():  # so that every gradient is there
            parameter.add_(0.02)
    options = pia.CONDITION | {"steps": 1, "batch_size": 1, "precision": "fp32"}
    trained = pia.train_stage(model.unet, start, PoolSource(pool, model, 1), tmp_path, options)
    for name, (mask, _) in through.fixed_of_pia(start).items():
        assert not trained.get_parameter(name)[mask].any(), name
    assert not torch.equal(trained.condition.weight, start.condition.weight.detach())
    assert all(torch.equal(before[name], value) for name, value in model.unet.state_dict().items())


def test_one_process_makes_what_is_not_shared(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(Work, "style", lambda self, name: made.append((self.processes.rank, name)))
    monkeypatch.setattr(Work, "clips", lambda self: made.append((self.processes.rank, "clips")))
    monkeypatch.setattr(Processes, "wait", lambda self: None)
    for rank in (0, 1):
        work = Work(tmp_path, Recipe(), tmp_path, Processes(rank, 2))
        for stage in ("clips", "outline", "styles"):
            work.run(stage)
    first = [name for rank, name in made if rank == 0]
    second = [name for rank, name in made if rank == 1]
    assert first[:2] == ["clips", "outline"] and sorted(first[2:] + second) == sorted(lora.PERSONALISED)
    assert len(second) >= 3


def test_every_ablation_is_an_option_of_training():
    for options in pia.ABLATIONS.values():
        TrainConfig(**pia.CONDITION | options)


def test_the_motion_modules_matrices_take_muons_steps(model):
    def matrices(**options) -> list[str]:
        trainer = pia.HeldTrainer(model.unet, fresh_model(model.unet), TrainConfig(**pia.CONDITION | options), None)
        names = {id(p): name for name, p in trainer.trained.items()}
        groups = trainer.optimizer.param_groups
        assert sorted(names.values()) == sorted(names[id(p)] for group in groups for p in group["params"])
        return [names[id(p)] for group in groups for p in group["params"] if group["matrices"]]

    assert len(matrices()) == 20 * 12 and all(".weight" in name and "norm" not in name for name in matrices())
    assert not matrices(freeze_motion=True)


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    def train(folder, *stops):
        torch.manual_seed(3)
        layer = torch.nn.Linear(4, 4)
        for stop in stops:
            for step in Run(folder, every=0).steps(5, layer=layer):
                with torch.no_grad():
                    layer.weight += (step + 1) * torch.randn(4, 4)
                if step == stop:
                    break
        return layer.weight.clone()

    stopped = torch.nn.Linear(4, 4)
    whole = train(tmp_path / "whole", None)
    train(tmp_path / "stopped", 2)
    for _ in Run(tmp_path / "stopped", every=0).steps(5, layer=stopped):
        with torch.no_grad():
            stopped.weight += (_ + 1) * torch.randn(4, 4)
    assert torch.equal(whole, stopped.weight)


def test_the_rate_rises_stays_and_falls():
    factors = [trapezoid(step, 100, warmup=10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9:75] == [1.0] * 66
    assert factors[-1] == pytest.approx(0.04) and factors[80] == pytest.approx(0.8)


def test_all_makes_every_file_of_the_miniature(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.miniature.lora.PERSONALISED", ("outline",))
    monkeypatch.setattr("demo.miniature.lora.PICTURES", 2)
    monkeypatch.setattr("demo.miniature.vae.PICTURES", 16)
    monkeypatch.setattr("demo.miniature.vae.WHITENED", 16)
    recipe = json.dumps(SMALL | {"style_steps": 1})
    work, models = str(tmp_path / "work"), tmp_path / "models"
    assert main(["all", "--work", work, "--models", str(models), "--recipe", recipe]) == 0
    written = {path.name for path in models.iterdir()}
    assert written == {
        f"miniature{name}" for name in (".safetensors", "_pia.safetensors", "_affinity.json", "_outline.safetensors")
    }
    checkpoint = load_file(models / "miniature.safetensors")
    assert {tensor.dtype for tensor in checkpoint.values()} <= {torch.float16, torch.float32}
    trained = Work(tmp_path / "work", Recipe(), models).trained_base().unet
    for name, (mask, value) in through.fixed_of_unet(trained).items():
        assert torch.equal(checkpoint[f"model.diffusion_model.{name}"][mask], value[mask].half()), name
