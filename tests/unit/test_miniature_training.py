"""The miniature's quick training computes what the project's trainer computes, alone and on two processes, and the base trains only if asked."""

import dataclasses
import os
import socket

import pytest
import torch
import torch.multiprocessing
from ldm.modules.diffusionmodules.openaimodel import UNetModel

from demo.miniature import base, quick, through
from demo.miniature.net import UNET, Miniature
from demo.miniature.trainers import Joint, JointTrainer, QuickTrainer, StraightTrainer
from demo.miniature.training_log import Run
from lib_pia.training import Processes, Trainer, fresh_model, join_processes
from tests.unit.training_toys import FRAMES, square_clips, toy_trainer


class ToySource:
    frames = FRAMES

    def __call__(self, first, count):
        return square_clips(first, count)


class WideSource(ToySource):
    """With texts of the miniature's width."""

    def __call__(self, first, count):
        batch = square_clips(first, count)
        return dataclasses.replace(batch, text=torch.randn(count, 5, UNET["context_dim"]), null_text=torch.zeros(5, UNET["context_dim"]))


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch):
    _plain(monkeypatch.setattr)


def _plain(setattr) -> None:
    """Uncompiled and in float32, so that results can be compared closely."""
    setattr(quick.shutil, "which", lambda name: None)
    setattr(quick, "autocast", lambda: torch.autocast("cpu", enabled=False))


def toy(kind=QuickTrainer, batch_size=2, processes=None, more=()):
    toy = toy_trainer(square_clips, batch_size=batch_size, accumulate=2, max_grad_norm=0.0, learning_rate=1e-4)
    if kind is Trainer:
        trainer = Trainer(toy.unet, toy.model, toy.config, toy.clips)
    else:
        trainer = kind(toy.unet, toy.model, toy.config, ToySource(), processes or Processes(), *more)
    with torch.no_grad():
        for parameter in toy.model.parameters():  # so that every gradient is there
            parameter.add_(0.02)
    return trainer


def same(ours, theirs) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, atol=2e-5 * max(1.0, float(value.abs().max())), rtol=0), name


def gradients(trainer) -> dict:
    return {name: parameter.grad for name, parameter in trainer.trained.items()}


def test_a_step_of_the_quick_trainer_is_the_trainers_step():
    ours, theirs = toy(), toy(Trainer)
    assert ours.train_step().loss == pytest.approx(theirs.train_step().loss, rel=1e-5)
    same(gradients(ours), gradients(theirs))


def test_the_quick_network_alone_is_the_unet():
    unet = toy().unet
    width = unet.input_blocks[1][1].transformer_blocks[0].attn2.to_k.in_features
    x, t, text = torch.randn(2, 4, 8, 8), torch.tensor([3, 961]), torch.randn(2, 5, width)
    with torch.no_grad():
        theirs = unet(x, t, context=text)
        ours = quick.QuickNet(unet)(x, quick.timestep_embedding(t, unet.model_channels), text)
    assert torch.allclose(ours, theirs, atol=2e-5 * float(theirs.abs().max()))


def test_the_straight_stage_trains_all_but_the_way_and_the_text(tmp_path):
    torch.manual_seed(0)
    model = Miniature()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pool = base.Pool(torch.randn(8, 4, 8, 8), ["a red star on a navy background, moving left"] * 8)
    assert base.train_straight(model, Run(tmp_path), pool, 2, batch=4)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("text.", "vae.")))
    for name, (mask, value) in through.fixed_of_unet(model.unet).items():
        assert torch.equal(after["unet." + name][mask], value[mask]), name
    trained = [name for name in before if name.startswith("unet.") and not torch.equal(before[name], after[name])]
    assert len(trained) > 0.8 * len(list(model.unet.parameters()))  # what stands before a layer that starts at zero waits a step


def test_the_straight_trainer_leaves_the_way_alone():
    unet = UNetModel(**UNET)
    through.open_way(unet)
    model = fresh_model(unet)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02)
    config = dataclasses.replace(toy().config, precision="fp32")
    trainer = StraightTrainer(unet, model, config, WideSource(), Processes())
    before = {name: value.clone() for name, value in trainer.trained.items()}
    trainer.train_step()
    exported = trainer.exported().state_dict()
    for name, (mask, _) in through.fixed_of_pia(trainer.model).items():
        assert not exported[name][mask].any() and not torch.equal(before[name], trainer.trained[name]), name


def test_the_base_stays_frozen_in_the_quick_trainer():
    trainer = toy()
    before = {name: value.clone() for name, value in trainer.unet.state_dict().items()}
    trainer.train_step()
    assert all(torch.equal(before[name], value) for name, value in trainer.unet.state_dict().items())


def test_the_joint_trainer_trains_the_base_on_clips_and_on_pictures():
    seen = []

    def pictures(number):
        seen.append(number)
        return trainer.unet.out[2].bias.sum() * 100

    trainer = toy(JointTrainer, more=(Joint(1e-3, pictures, every=2),))
    start = {name: value.clone() for name, value in trainer.unet.state_dict().items()}
    with_pictures = trainer.train_step() and trainer.unet.out[2].bias.grad.clone()
    after = {name: value.clone() for name, value in trainer.unet.state_dict().items()}
    trainer.train_step()
    assert seen == [0]
    assert (with_pictures - trainer.unet.out[2].bias.grad > 50).all()
    moved = [name for name in start if not torch.equal(start[name], after[name])]
    assert len(moved) > 0.9 * len(start)
    kept = trainer.unet_state()
    assert set(kept) == set(start)
    assert not torch.equal(kept["out.2.weight"], trainer.unet.out[2].weight)  # the mean, not the last weights
    assert set(trainer.exported().state_dict()) == set(trainer.model.state_dict())


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    _plain(setattr)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with join_processes("cpu") as processes:
        trainer = toy(batch_size=1, processes=processes)
        loss = trainer.train_step().loss
        torch.save({"loss": loss, "gradients": gradients(trainer)}, f"{folder}/{rank}.pt")


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    torch.multiprocessing.spawn(_worker, (_free_port(), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    one = toy()
    assert first["loss"] == second["loss"] == pytest.approx(one.train_step().loss, rel=1e-5)
    same(first["gradients"], gradients(one))
    same(second["gradients"], gradients(one))
