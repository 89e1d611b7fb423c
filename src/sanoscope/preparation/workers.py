"""The same work on many chunks, alone, in threads or in processes: whichever the first chunks say will pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# What is done sooner is not worth a second of starting processes.
WORTH_SPREADING_SECONDS = 2.0
# Shorter work than this for one item spends its time in handing over the interpreter's lock between threads: two
# threads decode 50×50 PNGs more slowly than one. Longer work, and waiting for a slow disk, leaves the lock alone.
THREADS_FROM_SECONDS = 0.002


def spread(
    work: Callable[[Sequence[Item]], Result], chunks: Sequence[Sequence[Item]], workers: int, processes: bool = True
) -> Iterator[Result]:
    """The result of each chunk, in order.

    Args:
        work: Called with each chunk; importable by name where processes may be used.
        chunks: The items, in chunks of about equal size.
        workers: How many at once.
        processes: Whether processes may be used.
    """
    remaining = iter(chunks)
    seconds = 0.0
    for chunk in islice(remaining, 2):  # the first pays for imports too, the second tells
        begun = time.perf_counter()
        yield work(chunk)
        seconds = time.perf_counter() - begun
    left = len(chunks) - 2
    if workers == 1 or seconds * left < WORTH_SPREADING_SECONDS:
        yield from map(work, remaining)
        return
    from joblib import Parallel, delayed

    long = seconds >= THREADS_FROM_SECONDS * len(chunks[0])
    backend = "loky" if processes and not long else "threading"
    yield from Parallel(workers, backend=backend, return_as="generator")(delayed(work)(chunk) for chunk in remaining)
