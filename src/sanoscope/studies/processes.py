"""Tasks in processes of this machine, through joblib's pool; one that kills its process fails alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from sanoscope.studies.task import Outcome, Task, in_worker, reason_of

DIED = "its process ended at once (killed, or out of memory)"
# An orphan is noticed so late at most.
LOOK_FOR_PARENT_SECONDS = 1.0


def in_processes(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    """The outcome of each task, as soon as it is ready.

    A process that dies takes the pool with it. The tasks that were under way are then carried out one at a time, each
    in a fresh process, where it has all the memory and cannot be taken for another; the others go on in a new pool.

    Args:
        tasks: With different indices.
        processes: How many tasks at once, at least two.
    """
    left = {task.index: task for task in tasks}
    while left:
        with TemporaryDirectory(prefix="sanoscope-", ignore_cleanup_errors=True) as folder:
            begun = Path(folder)
            try:
                for outcome in _pool([replace(task, begun=begun) for task in left.values()], processes):
                    del left[outcome.index]
                    yield outcome
                continue
            except BrokenProcessPool:
                # Where none had begun, receiving any of them may have been too much.
                suspects = [index for index in left if (begun / str(index)).exists()] or list(left)
        for index in suspects:
            yield _alone(left.pop(index))


def _alone(task: Task) -> Outcome:
    """The outcome of a task in a process of its own."""
    try:
        (outcome,) = _pool([task], 1)
    except TerminatedWorkerError:
        return Outcome(task.index, reason=DIED)
    except BrokenProcessPool as error:
        return Outcome(task.index, reason=reason_of(error))
    return outcome


def _pool(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    """The outcome of each task from processes that start and end with the call.

    Raises:
        BrokenProcessPool: If one of them dies.
    """
    parallel = Parallel(
        # joblib takes one process to mean this one.
        max(2, min(processes, len(tasks))),
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
        max_nbytes=None,  # a job that finds its arrays read-only would fail here and nowhere else
        initializer=_belong_to,
        initargs=(os.getpid(),),
    )
    try:
        with closing(parallel(delayed(in_worker)(task) for task in tasks)) as outcomes:
            yield from outcomes
    finally:
        get_reusable_executor().shutdown(kill_workers=True)


def _belong_to(parent: int) -> None:
    """Make this process end with its parent, and leave Ctrl-C, which the terminal sends to both, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_FOR_PARENT_SECONDS)
    os._exit(1)
