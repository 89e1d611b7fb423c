"""Rows of a table beside each other: ranks, and tests against the reference on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sanoscope.evaluation import Difference, JudgedImages, delong, holm, mean_ranks, paired_difference
from sanoscope.report.study_content import StudyComparison
from sanoscope.studies.declaration import Study
from sanoscope.studies.entries import Entries, Entry, mean_draws
from sanoscope.studies.metrics import is_compared

CONFIDENCE = 0.95


def ranks_of(study: Study, entries: Entries, kinds: Mapping[str, str]) -> dict[str, float]:
    """Mean ranks of the methods over the folds and seeds that all of them have."""
    metric = study.metrics[0]
    names = [name for name, rows in entries.items() if rows and kinds[name] != "trivial"]
    if len(names) < 2 or not is_compared(study.measure, metric):
        return {}
    tables = [{entry.place: entry.row.values.get(metric) for entry in entries[name]} for name in names]
    places = set.intersection(*(set(table) for table in tables))
    values = [[np.nan if table[place] is None else table[place] for table in tables] for place in sorted(places)]
    if not values:
        return {}
    ranks = mean_ranks(np.array(values, float))
    return {name: float(rank) for name, rank in zip(names, ranks, strict=True) if not np.isnan(rank)}


def comparisons_of(study: Study, entries: Entries) -> dict[str, StudyComparison]:
    """Each row beside the reference, in the folds and seeds that both have; p-values adjusted over all rows."""
    metric, reference = study.metrics[0], entries.get(study.reference, ())
    if not reference or not is_compared(study.measure, metric):
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


def _paired(reference: Sequence[Entry], other: Sequence[Entry], metric: str) -> Iterator[tuple[Entry, Entry]]:
    """The entries of the same fold and seed that judged the same images."""
    by_place = {entry.place: entry for entry in reference}
    for entry in other:
        beside = by_place.get(entry.place)
        if beside is None or beside.result.images != entry.result.images:
            continue
        if None not in (beside.row.values.get(metric), entry.row.values.get(metric)):
            yield beside, entry


def _bootstrapped(pairs: Sequence[tuple[Entry, Entry]], metric: str) -> Difference:
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    means = [float(np.mean([entry.row.values[metric] for entry in side])) for side in sides]
    draws = [mean_draws(side, metric) for side in sides]
    if not all(one.size for one in draws) or len(draws[0]) != len(draws[1]):
        return Difference(means[1] - means[0], None, None, None)
    return paired_difference(means[0], means[1], draws[0], draws[1], CONFIDENCE)


def _delong(pairs: Sequence[tuple[Entry, Entry]]) -> Difference | None:
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
