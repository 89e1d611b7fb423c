"""The results of each row of a table, over folds and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sanoscope.studies.declaration import Collection, Study
from sanoscope.studies.job import Job
from sanoscope.studies.job_result import JobResult, RowResult


@dataclass(frozen=True)
class Done:
    """A job with what it gave, or why it failed."""

    job: Job
    result: JobResult | None
    reason: str = ""


@dataclass(frozen=True)
class Entry:
    """One row in one job."""

    fold: int
    seed: int
    row: RowResult
    result: JobResult

    @property
    def place(self) -> tuple[int, int]:
        """The fold and the seed."""
        return self.fold, self.seed


Entries = Mapping[str, Sequence[Entry]]


def entries_of(study: Study, collection: Collection, done: Sequence[Done]) -> dict[str, list[Entry]]:
    """Each row's results, in the order of the study, then the trivial ones.

    Trivial rows come from the first method that has them, of each fold and seed.
    """
    entries: dict[str, list[Entry]] = {name: [] for method in study.methods_on(collection) for name in method.rows}
    trivial: dict[str, dict[tuple[int, int], Entry]] = {}
    for one in done:
        for row in one.result.rows if one.result else ():
            assert one.result is not None
            entry = Entry(one.job.fold, one.job.seed, row, one.result)
            if row.name is not None:
                trivial.setdefault(row.name, {}).setdefault(entry.place, entry)
            else:
                entries[one.job.method.row(row.reading)].append(entry)
    return entries | {name: list(rows.values()) for name, rows in trivial.items()}


def mean_draws(entries: Sequence[Entry], metric: str) -> np.ndarray:
    """Draws of the mean over seeds and folds, ``(R,)``; empty where a job has none.

    Seeds of one fold have the same resamples, as they are tested on the same images; folds have their own.
    """
    known = [entry for entry in entries if entry.row.values.get(metric) is not None]
    drawn = [np.array(entry.row.draws.get(metric, ()), float) for entry in known]
    if not drawn or len({one.size for one in drawn}) > 1:
        return np.empty(0)
    return np.asarray(np.mean(drawn, axis=0))
