"""Several processes: two with batch B train exactly what one with batch 2 B trains."""

import os
import socket

import pytest
import torch
import torch.multiprocessing

from lib_pia.errors import TrainingError
from lib_pia.training import Processes, Trainer, choose_device, join_processes
from tests.unit.training_toys import square_clips, toy_trainer


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _trained(processes: Processes, batch_size: int) -> dict:
    """Loss and gradients of one step, and the weights after it."""
    toy = toy_trainer(square_clips, batch_size=batch_size, accumulate=2, max_grad_norm=0.0, learning_rate=1e-4)
    trainer = Trainer(toy.unet, toy.model, toy.config, toy.clips, processes)
    with torch.no_grad():
        for parameter in trainer.trained.values():  # so that every gradient is there
            parameter.add_(0.02)
    loss = trainer.train_step().loss
    return {
        "loss": loss,
        "gradients": {name: p.grad for name, p in trainer.trained.items()},
        "weights": {name: p.detach() for name, p in trainer.trained.items()},
    }


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    with join_processes("cpu") as processes:
        torch.save(_trained(processes, 1), f"{folder}/{rank}.pt")


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    torch.multiprocessing.spawn(_worker, (_free_port(), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    one = _trained(Processes(), 2)
    assert first["loss"] == second["loss"] == pytest.approx(one["loss"], abs=1e-6)
    for name, gradient in one["gradients"].items():
        assert torch.allclose(first["gradients"][name], gradient, atol=1e-6, rtol=0), name
        assert torch.equal(first["weights"][name], second["weights"][name])


def test_one_process_needs_no_environment(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.device) == (0, 1, torch.device("cpu")) and processes.is_first


def test_devices_that_are_not_there_are_refused():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(TrainingError, match="'tpu9' is unknown"):
        choose_device("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="cannot use CUDA"):
            choose_device("cuda")
