"""The loop: what trains, what stays, and that a run can be stopped and go on."""

import csv
import dataclasses
import json

import pytest
import torch

from lib_pia.checkpoint import load_pia_model
from lib_pia.errors import HostError, TrainingError
from lib_pia.injection import inject
from lib_pia.training import TrainConfig, Trainer, fresh_model, load_initial, train
from lib_pia.training.trainer import recompute_in_backward
from lib_pia.training.weights import WeightAverage
from tests.unit.training_toys import (
    FRAMES,
    HEIGHT,
    TEXT,
    TOKENS,
    WIDTH,
    square_clips,
    tensors_of,
    toy_clips,
    toy_trainer,
    toy_unet,
)

torch.set_num_threads(1)


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def loss_on(trainer, numbers):
    with torch.no_grad():
        losses = []
        for number in numbers:
            with trainer.forward(toy_clips(number, 2), number) as loss:
                losses.append(float(loss))
    return sum(losses) / len(losses)


def test_loss_falls_and_the_base_stays_bit_for_bit():
    trainer = toy_trainer(learning_rate=6e-3, condition_learning_rate=3e-2)
    base = {name: value.clone() for name, value in trainer.unet.state_dict().items()}
    unseen = range(10_000, 10_004, 2)
    before = loss_on(trainer, unseen)
    for _ in range(9):
        trainer.train_step()
    assert loss_on(trainer, unseen) < 0.8 * before
    assert not changed(base, trainer.unet.state_dict())
    assert all(parameter.grad is None for parameter in trainer.unet.parameters())


def test_a_fresh_model_leaves_frames_as_the_base_makes_them():
    """Two equal frames, so that the clip-wide norms are the base's own: zero condition conv and proj_out add
    nothing."""
    torch.manual_seed(
        0
    )  # one pixel in a group of two channels can amplify rounding (5e-4 in one draw of 60), so not any draw
    unet = toy_unet()
    x, text = torch.randn(1, 4, HEIGHT, WIDTH).repeat(2, 1, 1, 1), torch.randn(1, TOKENS, TEXT).repeat(2, 1, 1)
    with torch.no_grad():
        plain = unet(x, torch.tensor([500, 500]), context=text)
        with inject(unet, fresh_model(unet), torch.randn(2, 5, HEIGHT, WIDTH)):
            injected = unet(x, torch.tensor([500, 500]), context=text)
    assert torch.allclose(plain, injected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "condition", "motion"),
    [({}, True, True), ({"stage": "motion"}, False, True), ({"freeze_motion": True}, True, False)],
)
def test_stages_train_what_they_say(options, condition, motion):
    trainer = toy_trainer(batch_size=1, **options)
    before = tensors_of(trainer)
    trainer.train_step()
    moved = changed(before, tensors_of(trainer))
    assert ("conv_in.weight" in moved) == condition
    assert any("motion_modules" in name for name in moved) == motion
    assert not any(name.endswith(".pe") for name in moved)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    options = {"batch_size": 1, "lr_schedule": "cosine", "warmup_steps": 1}
    whole = toy_trainer(**options)
    train(whole, tmp_path / "whole", progress=False)

    class Stop(Exception):
        pass

    def stop(report):
        if report.step == 3:  # after the save at step 2
            raise Stop

    with pytest.raises(Stop):
        train(toy_trainer(**options), tmp_path / "parts", progress=False, on_step=stop)
    second = toy_trainer(**options)
    train(second, tmp_path / "parts", progress=False, resume=True)
    assert not changed(tensors_of(whole), tensors_of(second))
    for name in ("pia.safetensors", "log.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_a_run_leaves_log_options_and_weights_that_load(tmp_path):
    trainer = toy_trainer(batch_size=1, steps=2, keep_every=1)
    weights = train(trainer, tmp_path, progress=False)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"] and all(float(row["loss"]) > 0 for row in rows)
    loaded, exported = load_pia_model(weights).state_dict(), trainer.exported().state_dict()
    assert loaded.keys() == exported.keys() and not changed(loaded, exported)
    assert changed(loaded, tensors_of(trainer))  # averaged, not raw
    assert sorted(p.name for p in tmp_path.glob("pia-*")) == ["pia-0000001.safetensors", "pia-0000002.safetensors"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_runs_are_not_overwritten_nor_mixed(tmp_path):
    train(toy_trainer(batch_size=1, steps=1), tmp_path, progress=False)
    with pytest.raises(TrainingError, match="holds a run; go on with it"):
        train(toy_trainer(batch_size=1, steps=1), tmp_path, progress=False)
    with pytest.raises(TrainingError, match="drop_text 0.1, not 0.5"):
        train(toy_trainer(batch_size=1, steps=1, drop_text=0.5), tmp_path, progress=False, resume=True)
    train(toy_trainer(batch_size=1, steps=1, save_every=7), tmp_path, progress=False, resume=True)


def test_a_run_keeps_what_else_it_depends_on(tmp_path):
    train(toy_trainer(batch_size=1, steps=1), tmp_path, progress=False, described={"stride": 4})
    assert json.loads((tmp_path / "options.json").read_text())["stride"] == 4
    with pytest.raises(TrainingError, match="was started with stride 4, not 2"):
        train(toy_trainer(batch_size=1, steps=1), tmp_path, progress=False, resume=True, described={"stride": 2})


def test_a_damaged_state_is_refused(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="state.pt is damaged .*; start anew in another folder"):
        train(toy_trainer(batch_size=1, steps=1), tmp_path, progress=False, resume=True)


def test_a_full_disk_is_one_sentence_and_keeps_the_last_state(tmp_path, monkeypatch):
    def full(*args):
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed\nframe #0")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        HostError, match="state.pt cannot be written .*file write failed.; make room and go on with --resume"
    ):
        train(toy_trainer(batch_size=1, steps=1), tmp_path / "run", progress=False)
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith((".", "state"))]


def test_a_state_of_other_weights_is_refused():
    trainer = toy_trainer(batch_size=1)
    with pytest.raises(TrainingError, match="trained other weights"):
        trainer.load_state_dict(toy_trainer(batch_size=1, freeze_motion=True).state_dict())


def test_gradient_checkpointing_and_accumulation_give_the_same_gradients():
    def gradients(**options):
        trainer = toy_trainer(square_clips, max_grad_norm=0, **options)
        with torch.no_grad():
            for parameter in trainer.trained.values():
                parameter.add_(0.02 * torch.ones_like(parameter))
        trainer.train_step()
        return {name: parameter.grad for name, parameter in trainer.trained.items()}

    plain = gradients()
    for other in (gradients(gradient_checkpointing=True), gradients(batch_size=1, accumulate=2)):
        for name, value in plain.items():
            assert torch.allclose(value, other[name], atol=1e-6, rtol=1e-4), name


def test_gradient_checkpointing_gives_the_layers_back():
    unet = toy_unet()
    mine = object()
    unet.input_blocks[1][0].forward = mine
    with recompute_in_backward(unet, fresh_model(unet)):
        assert "forward" in vars(unet.input_blocks[2][0])
    assert "forward" not in vars(unet.input_blocks[2][0]) and unet.input_blocks[1][0].forward is mine


def test_gradients_are_clipped_and_their_norm_reported():
    free, clipped = (toy_trainer(batch_size=1, max_grad_norm=norm) for norm in (0.0, 1e-3))
    reports = [trainer.train_step() for trainer in (free, clipped)]
    norms = [torch.cat([p.grad.flatten() for p in t.trained.values()]).norm().item() for t in (free, clipped)]
    assert reports[0].grad_norm == pytest.approx(reports[1].grad_norm) == pytest.approx(norms[0])
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_bf16_trains():
    full, half = (toy_trainer(batch_size=1, precision=precision) for precision in ("fp32", "bf16"))
    losses = [trainer.train_step().loss for trainer in (full, half)]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)
    assert all(p.dtype == torch.float32 for p in half.trained.values())


def test_fp16_needs_cuda():
    with pytest.raises(TrainingError, match="fp16 on cpu"):
        toy_trainer(precision="fp16")


def test_a_loss_that_is_not_a_number_stops_the_run():
    def broken(first, count):
        batch = toy_clips(first, count)
        return dataclasses.replace(batch, latents=batch.latents * float("nan"))

    with pytest.raises(TrainingError, match="not a number at step 1"):
        toy_trainer(clips=broken, batch_size=1).train_step()


def test_the_average_follows_slowly_and_starts_quickly():
    weights = {"w": torch.zeros(1)}
    average = WeightAverage(weights, 0.9)
    weights["w"].fill_(1.0)
    average.update(weights)
    assert average.mean["w"].item() == pytest.approx(0.9)  # decay 1 / 10 at first
    for _ in range(200):
        average.update(weights)
    weights["w"].fill_(0.0)
    average.update(weights)
    assert average.mean["w"].item() == pytest.approx(0.9, abs=1e-4)  # decay 0.9 in the end


def test_without_average_the_raw_weights_are_exported():
    trainer = toy_trainer(batch_size=1, ema_decay=0.0)
    trainer.train_step()
    assert not changed(tensors_of(trainer), trainer.exported().state_dict())


def test_initial_weights_come_from_pia_and_animatediff_files():
    unet = toy_unet()
    source, model = fresh_model(unet, seed=1), fresh_model(unet, seed=2)
    torch.nn.init.normal_(source.condition.weight)
    tensors = {f"module.{name}": value for name, value in source.state_dict().items()}
    animatediff = {
        name: value[:, :24] if name.endswith(".pe") else value
        for name, value in tensors.items()
        if "conv_in" not in name
    }
    animatediff["module.mid_block.motion_modules.0.x"] = torch.zeros(1)
    assert load_initial(model, animatediff, "mm.ckpt") is False
    assert changed(source.state_dict(), model.state_dict()) == {"conv_in.weight"}
    tensors["module.conv_in.weight"] = torch.cat([torch.ones(32, 4, 3, 3), source.condition.weight.detach()], dim=1)
    assert load_initial(model, tensors, "pia.ckpt") is True
    assert not changed(source.state_dict(), model.state_dict())


def test_initial_weights_that_do_not_fit_are_refused():
    model = fresh_model(toy_unet())
    with pytest.raises(TrainingError, match="lora.safetensors has no down_blocks.0.motion_modules.0"):
        load_initial(model, {"lora_up": torch.zeros(1)}, "lora.safetensors")
    wide = {name: torch.zeros(2 * value.shape[0], *value.shape[1:]) for name, value in model.state_dict().items()}
    with pytest.raises(TrainingError, match="another width"):
        load_initial(model, wide, "pia.ckpt")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "steps is 0; it must be a whole number of at least 1"),
        ({"drop_text": 1.5}, "drop_text is 1.5; .* from 0 to 1"),
        ({"stage": "both"}, "stage is 'both'; it must be one of condition, motion"),
        ({"learning_rate": "1e-5"}, "learning_rate is '1e-5'"),
        ({"freeze_motion": 1}, "freeze_motion is 1; it must be true or false"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm is nan"),
        ({"stage": "motion", "freeze_motion": True}, "nothing would train"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(TrainingError, match=sentence):
        TrainConfig(**options)


def test_learning_rate_warms_up_and_falls():
    config = TrainConfig(steps=10, warmup_steps=2, lr_schedule="cosine")
    factors = [config.learning_rate_factor(step) for step in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0] and factors[-1] < 0.05 and sorted(factors[2:], reverse=True) == factors[2:]
    assert TrainConfig().learning_rate_factor(4000) == 1.0
    late = TrainConfig(steps=8, lr_schedule="trapezoid")
    assert [late.learning_rate_factor(step) for step in (0, 6, 7)] == [1.0, 1.0, 0.5]


def test_another_clip_length_works():
    def longer(first, count):
        batch = toy_clips(first, count)
        return dataclasses.replace(
            batch, latents=batch.latents.repeat(1, 2, 1, 1, 1), affinity=batch.affinity.repeat(1, 2)
        )

    unet = toy_unet()
    report = Trainer(unet, fresh_model(unet), TrainConfig(batch_size=1), longer).train_step()
    assert report.step == 1 and longer(0, 1).latents.shape[1] == FRAMES * 2
