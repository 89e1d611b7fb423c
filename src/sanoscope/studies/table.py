"""Of the results of many jobs, one table: means, intervals, paired tests, ranks, and what it took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sanoscope.evaluation.bootstrap import percentile_interval
from sanoscope.report.study_content import StudyCell, StudyComparison, StudyRow, StudySection
from sanoscope.studies.comparisons import CONFIDENCE, comparisons_of, ranks_of
from sanoscope.studies.declaration import Collection, Study
from sanoscope.studies.entries import Done, Entries, Entry, entries_of, mean_draws
from sanoscope.studies.job_result import JobResult

# Of the resamples; where a metric is missing in more, an interval would no longer describe it.
MANY_UNDEFINED = 0.5


def section_of(study: Study, collection: Collection, done: Sequence[Done], notes: Sequence[str] = ()) -> StudySection:
    """The table of one collection.

    Args:
        study: Declares rows, metrics and the reference.
        collection: Which.
        done: Jobs of this collection, failed ones among them.
        notes: On the collection.
    """
    entries = entries_of(study, collection, done)
    results = [one.result for one in done if one.result is not None]
    kinds = {name: rows[0].row.kind for name, rows in entries.items() if rows}
    ranks = ranks_of(study, entries, kinds)
    comparisons = comparisons_of(study, entries)
    failed = _failures(study, collection, done)
    rows = [
        _row(study, collection, name, of, ranks.get(name), comparisons.get(name), failed.get(name, ()))
        for name, of in entries.items()
    ]
    rows += _only_published(study, collection, {row.name for row in rows})
    return StudySection(
        title=collection.name,
        source=" and ".join(path.name for path in collection.data),
        stand_in=collection.stand_in,
        sides=(f"fold 1 of {collection.folds}: " if collection.folds else "") + results[0].sides if results else "",
        rows=rows,
        notes=list(
            dict.fromkeys(
                [
                    *notes,
                    *_notes(study.methods_on(collection)[0].name, entries, results),
                    *_folds_notes(collection),
                ]
            )
        ),
        resampled=results[0].resampled if results else "",
    )


def _row(
    study: Study,
    collection: Collection,
    name: str,
    entries: Sequence[Entry],
    rank: float | None,
    comparison: StudyComparison | None,
    failed: Sequence[str],
) -> StudyRow:
    method = next((one for one in study.methods if name in one.rows), None)
    results = [entry.result for entry in entries]
    reading = name.removeprefix(f"{method.name}, ") if method and name != method.name else None
    kind = entries[0].row.kind if entries else "method"
    own = kind != "trivial"
    return StudyRow(
        name=name,
        method=method.name if method else name,
        reading=reading,
        kind=kind,
        cells={
            metric: _cell(entries, metric, published_of(study, name, collection, metric)) for metric in study.metrics
        },
        comparison=comparison,
        rank=rank,
        parameters=_mean_of([one.parameters for one in results], whole=True) if own else None,
        training_seconds=_mean_of([one.training_seconds for one in results]) if own else None,
        scoring_milliseconds=_mean_of([entry.row.milliseconds for entry in entries]),
        jobs=len(entries),
        failed=failed,
    )


def _cell(entries: Sequence[Entry], metric: str, published: str | None) -> StudyCell:
    values = [entry.row.values.get(metric) for entry in entries]
    defined = [value for value in values if value is not None]
    if not defined:
        reason = "not defined on this test side" if entries else "no job has given it"
        return StudyCell(None, published=published, reason=reason)
    low, high = _interval(mean_draws(entries, metric))
    return StudyCell(
        value=float(np.mean(defined)),
        deviation=float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        low=low,
        high=high,
        published=published,
    )


def _interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    if not draws.size or np.isnan(draws).mean() > MANY_UNDEFINED:
        return None, None
    return percentile_interval(draws, CONFIDENCE)


def published_of(study: Study, row: str, collection: Collection, metric: str) -> str | None:
    """The paper's number as text, or None."""
    return study.published.get(row, {}).get(collection.name, {}).get(metric)


def _only_published(study: Study, collection: Collection, there: set[str]) -> list[StudyRow]:
    """Rows that the paper has and the study has not."""
    return [
        StudyRow(
            name=row,
            method=row,
            reading=None,
            kind="published",
            cells={
                metric: StudyCell(None, published=published_of(study, row, collection, metric), reason="not run")
                for metric in study.metrics
            },
            comparison=None,
            rank=None,
            parameters=None,
            training_seconds=None,
            scoring_milliseconds=None,
            jobs=0,
        )
        for row, numbers in study.published.items()
        if row not in there and collection.name in numbers
    ]


def _failures(study: Study, collection: Collection, done: Sequence[Done]) -> dict[str, list[str]]:
    """Why jobs of each row failed."""
    failed: dict[str, list[str]] = {}
    for one in done:
        if one.result is None and one.reason:
            for name in one.job.method.rows:
                failed.setdefault(name, []).append(f"seed {one.job.seed}: {one.reason}")
    return failed


def _notes(first: str, entries: Entries, results: Sequence[JobResult]) -> list[str]:
    notes = [note for result in results[:1] for note in result.notes]
    if len({result.images for result in results}) > len({entry.fold for rows in entries.values() for entry in rows}):
        notes.append("not all methods were tested on the same images; only those that were are compared")
    if any(row.row.kind == "trivial" for rows in entries.values() for row in rows):
        notes.append(f"trivial rows see images as '{first}' prepares them")
    return notes


def _folds_notes(collection: Collection) -> list[str]:
    if not collection.folds or collection.split != "image":
        return []
    return ["folds are of images, so that a subject is in several of them: intervals and p-values are too small"]


def _mean_of(values: Iterable[Any], whole: bool = False) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return round(float(np.mean(known))) if whole else float(np.mean(known))
