"""What several processes of one training do together, on Lightning's distributed data parallelism."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanoscope.errors import OptionError, TrainingError
from sanoscope.training.batches import derived_seed
from sanoscope.training.processes import Processes

GONE = (
    "another process of this training has ended; its own message, if it left one, says why. With --resume the training "
    "goes on from its last checkpoint"
)


def require_devices(device: str, processes: Processes) -> None:
    """See that a machine has as many devices as are asked for; a CPU does as many processes as one likes.

    Raises:
        OptionError: If there are fewer.
    """
    there = {"cuda": torch.cuda.device_count(), "mps": 1}
    if processes.devices > there.get(device, processes.devices):
        raise OptionError(
            f"--devices {processes.devices}: there are {there[device]} of kind {device} here; ask for no more"
        )


def take_device(device: str, processes: Processes) -> None:
    """Let ``cuda`` mean the GPU of this process."""
    if device == "cuda" and processes.several:
        torch.cuda.set_device(processes.local_rank)


def lightning_settings(device: str, processes: Processes, uses_all: bool) -> dict[str, Any]:
    """What Lightning's trainer is to know of the processes.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        processes: Of the training.
        uses_all: Whether every step's loss depends on all that is trained.
    """
    if not processes.several:
        return {"devices": 1}
    return {
        "devices": processes.devices,
        "num_nodes": processes.nodes,
        "strategy": "ddp" if uses_all else "ddp_find_unused_parameters_true",
        "sync_batchnorm": synchronised(device, processes),
    }


def synchronised(device: str, processes: Processes) -> bool:
    """Whether batch norm takes its statistics over all processes, which PyTorch can do on GPUs only."""
    return processes.several and device == "cuda"


def notes(network: nn.Module, device: str, processes: Processes) -> list[str]:
    """What is not as in one process, for the user of the results."""
    normed = any(isinstance(module, _BatchNorm) for module in network.modules())
    if not processes.several or synchronised(device, processes) or not normed:
        return []
    return [
        f"trained in {processes.count} processes: batch norm took its statistics of each one's part of a batch, which "
        "one process would take of the whole"
    ]


@contextlib.contextmanager
def together(trainer: Trainer) -> Iterator[None]:
    """Train in all processes; where this one ends early, so do those that it has started.

    Raises:
        TrainingError: If another one has ended early.
    """
    try:
        yield
    except BaseException as error:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        if trainer.world_size > 1 and _disconnected(error):
            raise TrainingError(GONE) from error
        raise


def _disconnected(error: BaseException) -> bool:
    # Gloo has no exception of its own, only its name in the message.
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def summed(trainer: Trainer, value: Tensor) -> Tensor:
    """The sum of a number over processes, in each of them; called by all of them, or none."""
    if trainer.world_size == 1:
        return value
    total: Tensor = trainer.strategy.reduce(value.detach().float().clone(), reduce_op="sum")
    return total


def mean_of(trainer: Trainer, total: Tensor, count: int) -> Tensor:
    """The mean over the images of all processes, of this one's sum and number; called like ``summed``."""
    if trainer.world_size == 1:
        return total / count
    return summed(trainer, total) / summed(trainer, torch.tensor(count, device=total.device))


@contextlib.contextmanager
def own_randomness(trainer: Trainer, *use: int) -> Iterator[None]:
    """Let processes draw different numbers, such as of dropout, and go on alike thereafter.

    Args:
        trainer: In one process there is nothing to be done.
        use: What the numbers are for, in all processes; see ``derived_seed``.
    """
    if trainer.world_size == 1:
        yield
        return
    device = trainer.strategy.root_device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(*use, trainer.global_rank))
        yield
