"""One job on its way to a worker and its outcome on the way back; neither can break what is between them."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sanoscope.errors import SanoscopeError

# Numerical libraries that are not loaded yet read these when they are.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# A Dask worker may have several threads, but random numbers and torch's own threads are settings of the process.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        index: Of the job.
        pickled: Its result; pickled where it was made, so that one that cannot be is the failure of this job alone.
        reason: Why it failed, one line; None where it did not.
    """

    index: int
    pickled: bytes = b""
    reason: str | None = None


@dataclass(frozen=True)
class Task:
    """A job with all that carrying it out takes.

    Attributes:
        index: Of the job.
        work: Called with the job; importable by name.
        job: Picklable.
        threads: That it computes with.
        begun: An empty file is made here, named by the index, as soon as the job begins.
    """

    index: int
    work: Callable[[Any], Any]
    job: Any
    threads: int
    begun: Path | None = None

    def __call__(self) -> Outcome:
        """The outcome, with any exception of the job in it."""
        if self.begun is not None:
            (self.begun / str(self.index)).touch()
        try:
            return Outcome(self.index, pickle.dumps(self.work(self.job)))
        except Exception as error:
            return Outcome(self.index, reason=reason_of(error))


def in_worker(task: Task) -> Outcome:
    """The outcome of a task in a process that is there for tasks: one at a time, with the task's threads."""
    with _TURN, computing_with(task.threads):
        try:
            return task()
        except SystemExit as error:
            # A worker ends by its pool's will; a job that ends "the program" ends the job.
            return Outcome(task.index, reason=reason_of(error))


def reason_of(error: BaseException) -> str:
    """An exception in one line: the project's own as they are, others by type and first line."""
    if isinstance(error, SanoscopeError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """As many threads for torch and the numerical libraries of this process; afterwards as many as before.

    The last digits of a sum depend on how many threads share it.
    """
    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        import torch
        from threadpoolctl import threadpool_limits

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with threadpool_limits(threads):
                yield
        finally:
            torch.set_num_threads(before)
    finally:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
