"""Independent jobs, carried out in this process, in several, or on a Dask cluster, with the same results."""

from __future__ import annotations

import importlib.util
import pickle
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from sanoscope.errors import OptionError
from sanoscope.studies.task import Outcome, Task, computing_with

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Runner:
    """Where jobs are carried out, and with how many threads each.

    Attributes:
        processes: How many on this machine, each with one job at a time; 1 is this process.
        threads: That a job computes with; the same wherever it is carried out, so that its result is the same too.
        scheduler: Address of a Dask scheduler, such as ``"tcp://host:8786"``, whose workers take the place of processes
            of this machine. They need the same versions of the package and of what it depends on, and the files that
            the jobs read; a worker carries out one job at a time, so that it should have one thread
            (``dask worker ADDRESS --nthreads 1``) and a machine several workers.

    Raises:
        OptionError: If there is less than one process or thread, or a scheduler is given and Dask not installed.
    """

    processes: int = 1
    threads: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        for name in ("processes", "threads"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.scheduler is not None and importlib.util.find_spec("distributed") is None:
            raise OptionError(f'scheduler {self.scheduler}: needs Dask; install it with pip install "sanoscope[dask]"')

    def run(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        done: Callable[[Job, Result], None],
        failed: Callable[[Job, str], None],
    ) -> None:
        """Carry out all jobs, and say of each how it ended as soon as it has.

        A job that fails, or kills the process it is in, leaves the others alone. What ``done`` or ``failed`` raises
        ends the run, as does Ctrl-C; what is queued is then given up, and the processes are ended.

        Args:
            work: Called with each job; importable by name.
            jobs: Picklable, as are the results.
            done: Called in this process with each job that succeeded and its result, in any order.
            failed: Likewise with each job that failed and the reason, one line.

        Raises:
            OptionError: If there is no scheduler at the address.
            SanoscopeError: If the scheduler is lost on the way.
        """
        if not jobs:
            return
        tasks = [Task(index, work, job, self.threads) for index, job in enumerate(jobs)]
        with warnings.catch_warnings(), closing(self._outcomes(tasks)) as outcomes:
            # joblib warns of a run that is broken off, and of processes that it renews because they have grown. Where
            # warnings are errors, the latter would end its thread, and nobody would hear of it.
            warnings.filterwarnings("ignore", module=r"joblib\.")
            for outcome in outcomes:
                if outcome.reason is None:
                    done(jobs[outcome.index], pickle.loads(outcome.pickled))
                else:
                    failed(jobs[outcome.index], outcome.reason)

    def _outcomes(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        if self.scheduler is not None:
            from sanoscope.studies.cluster import on_cluster

            yield from on_cluster(tasks, self.scheduler)
        elif self.processes > 1:
            from sanoscope.studies.processes import in_processes

            yield from in_processes(tasks, self.processes)
        else:
            with computing_with(self.threads):
                for task in tasks:
                    yield task()
