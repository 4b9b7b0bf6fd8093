"""One process, or several under torchrun (DistributedDataParallel)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import torch
import torch.distributed
from torch import Tensor, nn

from lib_pia.errors import TrainingError


@dataclasses.dataclass(frozen=True)
class Processes:
    """Who we are: process `rank` of `count`, working on `device`."""

    rank: int = 0
    count: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module`, its gradients averaged over the processes."""
        if self.count == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a scalar over the processes."""
        value = value.detach().clone()
        if self.count > 1:
            torch.distributed.all_reduce(value)
            value /= self.count
        return value

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            torch.distributed.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """ "auto" (the first that is there of CUDA, MPS and the CPU) or a device's name; TrainingError where it is not
    there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainingError(f"Device {name!r} is unknown; it must be auto, cpu, cuda, cuda:N or mps.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError("This torch cannot use CUDA; train with --device cpu, or install torch for CUDA.")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    return device


@contextlib.contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """The processes that torchrun started (it sets RANK, WORLD_SIZE, LOCAL_RANK), or this one alone. NCCL on CUDA, else
    gloo."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count == 1:
        yield Processes(device=chosen)
        return
    torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), count, chosen)
    finally:
        torch.distributed.destroy_process_group()
