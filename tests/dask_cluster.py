"""A Dask cluster on this machine: a scheduler and two workers, each a process that a test may kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Client


@dataclass(frozen=True)
class DaskCluster:
    """The processes of a cluster, and where it answers."""

    address: str
    scheduler: subprocess.Popen[str]
    workers: list[subprocess.Popen[str]]


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, environment: Mapping[str, str] = {}) -> Iterator[DaskCluster]:
    """A cluster that is ready for work; it ends with the context.

    Args:
        folder: For the files of the workers.
        workers: How many, each with one thread.
        environment: Set for the scheduler and the workers; they know the modules of the tests.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment}
    with ExitStack() as running:
        heard: Future[str] = Future()

        def start(*arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments], env=environment, stderr=subprocess.PIPE, text=True
            )
            listener = threading.Thread(target=_listen, args=(process, heard))
            running.enter_context(process)
            running.callback(listener.join)
            running.callback(process.kill)
            listener.start()
            return process

        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        address = heard.result(timeout=30)
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        started = [start("worker", address, *options) for _ in range(workers)]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=30)
        yield DaskCluster(address, scheduler, started)


def _listen(process: subprocess.Popen[str], heard: Future[str]) -> None:
    """Read all that a process says, so that it never waits for a reader, and keep the address of a scheduler."""
    assert process.stderr is not None
    for line in process.stderr:
        if "Scheduler at:" in line:
            heard.set_result(line.split()[-1])
