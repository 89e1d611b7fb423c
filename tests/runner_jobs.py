"""Work for the tests of the runner, importable by the processes that carry it out."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sanoscope.errors import DataError


class UnpicklableError(Exception):
    """Cannot be pickled, nor made again of its message."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}\nand more")
        self.anything = lambda: None


class DeadlyToReceive:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def square(number: int) -> int:
    """The square."""
    return number * number


def fail_in_its_way(number: int) -> Any:
    """One way to fail for each number; the others are returned."""
    if number == 1:
        raise DataError("subject 7: is on two sides; mend the manifest")
    if number == 2:
        raise UnpicklableError(3, 4)
    if number == 3:
        raise ValueError
    if number == 4:
        return lambda: None
    return number


def leave(number: int) -> int:
    """Try to end the program if the number is 1."""
    if number == 1:
        sys.exit("enough")
    return number


def threads_of_torch(_job: int) -> tuple[int, str]:
    """How many threads torch computes with, and other libraries that are imported now."""
    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def die_of(job: Any) -> Any:
    """Kill this process where the job is "killed"."""
    if job == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return job


@dataclass(frozen=True)
class Meeting:
    """A folder in which a job tells of itself through a pipe, and is then waited for."""

    folder: Path
    index: int
    held: bool = False

    @property
    def pipe(self) -> Path:
        """Holds the process id of each that was held, and comes to its end when all of them have."""
        return self.folder / "held"


def hold_once(job: Meeting) -> int:
    """The process id; the first time that a job that is to be held is carried out, wait to be killed."""
    if job.held:
        try:
            (job.folder / f"begun-{job.index}").touch(exist_ok=False)
        except FileExistsError:
            return os.getpid()
        with job.pipe.open("w") as pipe:
            print(os.getpid(), file=pipe, flush=True)
            (job.folder / "never").read_text()
    return os.getpid()
