"""Of the results of many jobs, one table: means, intervals, paired tests, ranks, and what it took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanoscope.evaluation import (
    Difference,
    JudgedImages,
    critical_difference,
    delong,
    friedman,
    holm,
    mean_ranks,
    paired_difference,
)
from sanoscope.evaluation.bootstrap import percentile_interval
from sanoscope.report.study_content import (
    StudyCell,
    StudyComparison,
    StudyCurve,
    StudyOverall,
    StudyRow,
    StudySection,
)
from sanoscope.studies.declaration import Collection, Study
from sanoscope.studies.job import Job
from sanoscope.studies.job_result import JobResult, RowResult
from sanoscope.studies.metrics import UNRANKED

CONFIDENCE = 0.95
# Of the resamples; where a metric is missing in more, an interval would no longer describe it.
MANY_UNDEFINED = 0.5


@dataclass(frozen=True)
class Done:
    """A job with what it gave, or why it failed."""

    job: Job
    result: JobResult | None
    reason: str = ""


@dataclass(frozen=True)
class _Entry:
    """One row in one job."""

    fold: int
    seed: int
    row: RowResult
    result: JobResult

    @property
    def place(self) -> tuple[int, int]:
        return self.fold, self.seed


Entries = Mapping[str, Sequence[_Entry]]


def section_of(study: Study, collection: Collection, done: Sequence[Done]) -> StudySection:
    """The table of one collection.

    Args:
        study: Declares rows, metrics and the reference.
        collection: Which.
        done: Jobs of this collection, failed ones among them.
    """
    entries = _entries(study, collection, done)
    results = [one.result for one in done if one.result is not None]
    kinds = {name: rows[0].row.kind for name, rows in entries.items() if rows}
    ranks = _ranks(study, entries, kinds)
    comparisons = _comparisons(study, entries, results)
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
        sides=results[0].sides if results else "",
        rows=rows,
        notes=_notes(study, entries, results),
        resampled=results[0].resampled if results else "",
    )


def _entries(study: Study, collection: Collection, done: Sequence[Done]) -> dict[str, list[_Entry]]:
    """Each row's results, in the order of the study, then the trivial ones.

    Trivial rows come from the first method that has them, of each fold and seed.
    """
    entries: dict[str, list[_Entry]] = {name: [] for method in study.methods_on(collection) for name in method.rows}
    trivial: dict[str, dict[tuple[int, int], _Entry]] = {}
    for one in done:
        for row in one.result.rows if one.result else ():
            assert one.result is not None
            entry = _Entry(one.job.fold, one.job.seed, row, one.result)
            if row.name is not None:
                trivial.setdefault(row.name, {}).setdefault(entry.place, entry)
            else:
                entries[one.job.method.row(row.reading)].append(entry)
    return entries | {name: list(rows.values()) for name, rows in trivial.items()}


def _row(
    study: Study,
    collection: Collection,
    name: str,
    entries: Sequence[_Entry],
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


def _cell(entries: Sequence[_Entry], metric: str, published: str | None) -> StudyCell:
    values = [entry.row.values.get(metric) for entry in entries]
    defined = [value for value in values if value is not None]
    if not defined:
        reason = "not defined on this test side" if entries else "no job has given it"
        return StudyCell(None, published=published, reason=reason)
    low, high = _interval(_mean_draws(entries, metric))
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


def _mean_draws(entries: Sequence[_Entry], metric: str) -> np.ndarray:
    """Draws of the mean over seeds and folds, ``(R,)``; empty where a job has none.

    Seeds of one fold have the same resamples, as they are tested on the same images; folds have their own.
    """
    known = [entry for entry in entries if entry.row.values.get(metric) is not None]
    drawn = [np.array(entry.row.draws.get(metric, ()), float) for entry in known]
    if not drawn or len({one.size for one in drawn}) > 1:
        return np.empty(0)
    return np.asarray(np.mean(drawn, axis=0))


def _ranks(study: Study, entries: Entries, kinds: Mapping[str, str]) -> dict[str, float]:
    """Mean ranks of the methods over the folds and seeds that all of them have."""
    metric = study.metrics[0]
    names = [name for name, rows in entries.items() if rows and kinds[name] != "trivial"]
    if metric in UNRANKED or len(names) < 2:
        return {}
    tables = [{entry.place: entry.row.values.get(metric) for entry in entries[name]} for name in names]
    places = set.intersection(*(set(table) for table in tables))
    values = [[np.nan if table[place] is None else table[place] for table in tables] for place in sorted(places)]
    if not values:
        return {}
    ranks = mean_ranks(np.array(values, float))
    return {name: float(rank) for name, rank in zip(names, ranks, strict=True) if not np.isnan(rank)}


def _comparisons(study: Study, entries: Entries, results: Sequence[JobResult]) -> dict[str, StudyComparison]:
    """Each row beside the reference, in the folds and seeds that both have; p-values adjusted over all rows."""
    metric, reference = study.metrics[0], entries.get(study.reference, ())
    if metric in UNRANKED or not reference or study.measure == "selection":
        return {}
    names = [name for name in entries if name != study.reference]
    pairs = {name: list(_paired(reference, entries[name], metric)) for name in names}
    by_bootstrap = {name: _bootstrapped(pair, metric) for name, pair in pairs.items() if pair}
    by_delong = {name: _delong(pairs[name]) for name in by_bootstrap} if metric == "auroc" else {}
    adjusted = _adjusted(by_bootstrap)
    adjusted_delong = _adjusted({name: one for name, one in by_delong.items() if one is not None})
    return {
        name: StudyComparison(
            difference=difference.value,
            low=difference.low,
            high=difference.high,
            p=difference.p,
            p_adjusted=adjusted[name],
            delong_p=one.p if (one := by_delong.get(name)) else None,
            delong_p_adjusted=adjusted_delong.get(name),
        )
        for name, difference in by_bootstrap.items()
    }


def _paired(reference: Sequence[_Entry], other: Sequence[_Entry], metric: str) -> Iterator[tuple[_Entry, _Entry]]:
    """The entries of the same fold and seed that judged the same images."""
    by_place = {entry.place: entry for entry in reference}
    for entry in other:
        beside = by_place.get(entry.place)
        if beside is None or beside.result.images != entry.result.images:
            continue
        if None not in (beside.row.values.get(metric), entry.row.values.get(metric)):
            yield beside, entry


def _bootstrapped(pairs: Sequence[tuple[_Entry, _Entry]], metric: str) -> Difference:
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    means = [float(np.mean([entry.row.values[metric] for entry in side])) for side in sides]
    draws = [_mean_draws(side, metric) for side in sides]
    if not all(one.size for one in draws) or len(draws[0]) != len(draws[1]):
        return Difference(means[1] - means[0], None, None, None)
    return paired_difference(means[0], means[1], draws[0], draws[1], CONFIDENCE)


def _delong(pairs: Sequence[tuple[_Entry, _Entry]]) -> Difference | None:
    folds = []
    for fold in sorted({beside.fold for beside, _ in pairs}):
        here = [pair for pair in pairs if pair[0].fold == fold]
        result = here[0][0].result
        of_reference, of_other = ([pair[side].row.scores for pair in here] for side in (0, 1))
        if result.labels is None or None in of_reference or None in of_other or len(set(result.labels)) < 2:
            return None
        folds.append(
            JudgedImages(result.labels, np.array(of_reference, float), np.array(of_other, float), result.subjects)
        )
    return delong(folds, CONFIDENCE) if folds else None


def _adjusted(differences: Mapping[str, Difference]) -> dict[str, float | None]:
    return dict(zip(differences, holm([one.p for one in differences.values()]), strict=True))


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


def _notes(study: Study, entries: Entries, results: Sequence[JobResult]) -> list[str]:
    notes = [note for result in results[:1] for note in result.notes]
    if len({result.images for result in results}) > len({entry.fold for rows in entries.values() for entry in rows}):
        notes.append("not all methods were tested on the same images; only those that were are compared")
    if any(row.row.kind == "trivial" for rows in entries.values() for row in rows):
        notes.append(f"trivial rows see images as '{study.methods[0].name}' prepares them")
    return notes


def _mean_of(values: Iterable[Any], whole: bool = False) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return round(float(np.mean(known))) if whole else float(np.mean(known))


def overall_of(study: Study, sections: Sequence[StudySection]) -> StudyOverall | None:
    """All collections together, where there are several: means of the main metric, and ranks.

    Ranks are of the methods that have a value on every collection.
    """
    metric = study.metrics[0]
    if len(sections) < 2 or metric in UNRANKED:
        return None
    rows = [{row.name: row for row in section.rows} for section in sections]
    names = list(dict.fromkeys(name for section in rows for name in section))
    values = {name: [_value(section.get(name), metric) for section in rows] for name in names}
    kinds = {name: next(section[name].kind for section in rows if name in section) for name in names}
    complete = [name for name in names if not np.isnan(values[name]).any()]
    ranked = [name for name in complete if kinds[name] != "trivial"]
    table = np.array([values[name] for name in ranked], float).T
    ranks = dict(zip(ranked, mean_ranks(table), strict=True)) if len(ranked) > 1 else {}
    return StudyOverall(
        rows=[
            (name, kinds[name], float(np.mean(values[name])) if name in complete else None, _plain(ranks.get(name)))
            for name in names
        ],
        published=_published_means(study, names),
        friedman_p=friedman(table) if len(ranked) > 1 else None,
        critical_difference=critical_difference(len(ranked), len(sections)) if len(ranked) > 1 else None,
        blocks=len(sections),
    )


def _value(row: StudyRow | None, metric: str) -> float:
    cell = row.cells.get(metric) if row else None
    return np.nan if cell is None or cell.value is None else cell.value


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)


# Where the paper gives a mean over all collections.
MEAN = "mean"


def _published_means(study: Study, names: Sequence[str]) -> dict[str, str]:
    metric = study.metrics[0]
    of = {name: study.published.get(name, {}).get(MEAN, {}).get(metric) for name in [*names, *study.published]}
    return {name: text for name, text in of.items() if text}


def curves_of(study: Study, sections: Sequence[StudySection]) -> list[StudyCurve]:
    """Of a selection, how good the chosen configuration is over the number of known anomalies."""
    metric = study.metrics[0]
    curves = []
    for section in sections:
        rows = {row.name: row for row in section.rows}
        for method in study.methods:
            points = [
                (number, row.cells[metric])
                for number in method.known
                if (row := rows.get(f"{method.name}, {number} known")) and row.cells[metric].value is not None
            ]
            if points:
                curves.append(
                    StudyCurve(
                        title=section.title if len(study.methods) == 1 else f"{section.title}, {method.name}",
                        x=[float(number) for number, _ in points],
                        y=[cell.value or 0.0 for _, cell in points],
                        low=[cell.low for _, cell in points],
                        high=[cell.high for _, cell in points],
                    )
                )
    return curves
