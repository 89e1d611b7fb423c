"""The processes of one training, each with a device of its own: how many, which one this is, and what its part is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from sanoscope.errors import OptionError

# Pictures in a part, at least, where there are so many: batch norm has no variance of one.
LEAST = 2


@dataclass(frozen=True)
class Processes:
    """How many there are, and which of them this is, by what the launcher says in the environment.

    The launcher is torchrun, Slurm, or Lightning, which starts the command anew for all devices of a machine but the
    first, and is told the machine's number by ``NODE_RANK``.

    Attributes:
        devices: On each machine.
        nodes: Machines.
    """

    devices: int = 1
    nodes: int = 1

    @classmethod
    def asked(cls, devices: int | None, nodes: int | None) -> Processes:
        """As many as were asked for; otherwise as many as torchrun has started, or one.

        Raises:
            OptionError: If torchrun has started another number.
        """
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls(devices or 1, nodes or 1)
        there, in_all = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        started = cls(there, in_all // there)
        asked = cls(devices or started.devices, nodes or started.nodes)
        if asked != started:
            raise OptionError(
                f"--devices {asked.devices} --nodes {asked.nodes}: torchrun has started {started.devices} processes on "
                f"{started.nodes} machines; leave both options out"
            )
        return started

    @property
    def count(self) -> int:
        """Of all processes."""
        return self.devices * self.nodes

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return self.count > 1

    @property
    def local_rank(self) -> int:
        """Which of the machine's this is, from 0."""
        return _told("LOCAL_RANK", "SLURM_LOCALID") if self.several else 0

    @property
    def rank(self) -> int:
        """Which of all this is, from 0."""
        if not self.several:
            return 0
        # Lightning's numbers come before Slurm's, whose are also set in a session that starts no processes by itself.
        if "RANK" in os.environ or not {"LOCAL_RANK", "NODE_RANK"} & os.environ.keys():
            return _told("RANK", "SLURM_PROCID")
        return _told("NODE_RANK") * self.devices + self.local_rank

    @property
    def main(self) -> bool:
        """Whether this is the one that says and writes something."""
        return self.rank == 0


ALONE = Processes()


def _told(*names: str) -> int:
    """The first of the environment's variables that is set; 0 where none is."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


class Part(NamedTuple):
    """What one process looks at of a batch.

    Attributes:
        rows: Of the batch.
        size: How many these are.
        whole: Pictures in the batch.
        processes: How many processes share it.
        counted: Whether these rows are nobody else's. A process for which none are left looks at those of the first,
            so that it does all that the others wait for, and what it sees does not count.
    """

    rows: slice
    size: int
    whole: int
    processes: int
    counted: bool

    def weight(self, summed: bool) -> float:
        """What its loss is multiplied by, so that the mean over processes is the loss of the batch.

        Args:
            summed: Whether the loss is a sum over the pictures, and not a mean.
        """
        if not self.counted:
            return 0.0
        return self.processes * (1.0 if summed else self.size / self.whole)


def part_of(whole: int, rank: int, processes: int) -> Part:
    """A process's part of a batch of so many pictures; parts are disjoint, and together the batch.

    Args:
        whole: Pictures in the batch, at least 1.
        rank: Of the process, from 0.
        processes: How many there are.
    """
    parts = max(min(processes, whole // LEAST), 1)
    counted = rank < parts
    place = rank if counted else 0
    first, end = whole * place // parts, whole * (place + 1) // parts
    return Part(slice(first, end), end - first, whole, processes, counted)
