"""Tasks on a Dask cluster, through joblib; a worker that dies is survived, a scheduler that dies is reported.

joblib's own backend for Dask waits without end for a task that killed its workers, sends what a task computes through
joblib back to the cluster, and computes in this process where the cluster has a single thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

from distributed import CancelledError, Client, Future, KilledWorker
from joblib import Parallel, delayed
from joblib.parallel import ParallelBackendBase

from sanoscope.errors import OptionError, SanoscopeError
from sanoscope.studies.task import Outcome, Task, in_worker, reason_of

KILLED = "each process that it was given to ended at once (killed, or out of memory)"
CONNECT_SECONDS = 8.0


def on_cluster(tasks: Sequence[Task], address: str) -> Iterator[Outcome]:
    """The outcome of each task, as soon as it is ready.

    Dask gives the task of a worker that dies to another one, and new workers take part as soon as they come. With no
    worker, tasks wait for one.

    Args:
        tasks: With different indices.
        address: Of the scheduler, such as ``"tcp://host:8786"``.

    Raises:
        OptionError: If there is no scheduler.
        SanoscopeError: If the scheduler is lost.
    """
    with _without_log(), _connected(address) as client:
        parallel = Parallel(
            backend=DaskBackend(client, address),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="all",
        )
        with closing(parallel(delayed(in_worker)(task) for task in tasks)) as outcomes:
            yield from outcomes


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"no Dask scheduler answers at {address}; start one with `dask scheduler`, and workers with "
            f"`dask worker {address} --nthreads 1`"
        ) from error


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep back what Dask's client says of losses, with tracebacks: they are outcomes and errors here."""
    log = logging.getLogger("distributed.client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


class DaskBackend(ParallelBackendBase):
    """A backend of joblib that hands each batch of one task to a Dask cluster.

    Args:
        client: Of the cluster.
        address: For messages.
    """

    supports_retrieve_callback = True

    def __init__(self, client: Client, address: str) -> None:
        super().__init__()
        self._client = client
        self._address = address
        self._futures: dict[Future, int] = {}

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Any number above one: the scheduler has the queue, and one would keep the tasks in this process."""
        return 2

    def submit(self, func: Any, callback: Callable[[Future], None] | None = None) -> Future:
        """Hand over a batch; ``callback`` is called with its future when that has succeeded, failed or is lost."""
        ((_, (task,), _),) = func.items
        future = self._client.submit(func, key=f"sanoscope-{uuid4().hex}")
        self._futures[future] = task.index
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future) -> list[Outcome]:
        """The outcome of a batch.

        Raises:
            SanoscopeError: If it is lost.
        """
        index = self._futures.pop(out)
        try:
            outcomes: list[Outcome] = out.result()
        except CancelledError:
            raise SanoscopeError(
                f"the Dask scheduler at {self._address} was lost; start it again and then the same command: what is "
                "done is kept"
            ) from None
        except KilledWorker:
            return [Outcome(index, reason=KILLED)]
        except Exception as error:
            return [Outcome(index, reason=reason_of(error))]
        return outcomes

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Take back what is queued; a task that is under way on a worker comes to its end there, unheard."""
        futures = list(self._futures)
        self._futures.clear()
        if self._client.status == "running":
            self._client.cancel(futures, force=True)
