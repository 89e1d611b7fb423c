"""What the user sees while something runs: progress bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# A bar that appears for something shorter only flickers.
PATIENCE_SECONDS = 2.0
# How often a log that is no terminal gets a line.
LINE_SECONDS = 15.0


def say(message: str) -> None:
    """A plain line on stderr, so that results on stdout stay clean."""
    print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Pass ``items`` through and show how far it is, once it has taken longer than two seconds.

    Args:
        items: What is worked through.
        what: What is being done, such as ``"decoding"``.
        total: How many items there will be.
    """
    if sys.stderr.isatty():
        yield from _bar(items, what, total)
    else:
        yield from _lines(items, what, total)


def _bar(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(what, total=total)
    begun, shown = time.monotonic(), False
    try:
        for item in items:
            yield item
            progress.advance(task)
            if not shown and time.monotonic() - begun > PATIENCE_SECONDS:
                progress.start()
                shown = True
    finally:
        if shown:
            progress.stop()


def _lines(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    begun = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - begun > PATIENCE_SECONDS and (now - last > LINE_SECONDS or done == total):
            say(f"{what}: {done} of {total} ({now - begun:.0f} s)")
            last = now
