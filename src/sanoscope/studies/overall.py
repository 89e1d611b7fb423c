"""Several collections of a study together, and the curves of a selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sanoscope.evaluation import critical_difference, friedman, mean_ranks
from sanoscope.report.study_content import StudyCurve, StudyOverall, StudyRow, StudySection
from sanoscope.studies.declaration import Study
from sanoscope.studies.metrics import is_compared


def overall_of(study: Study, sections: Sequence[StudySection]) -> StudyOverall | None:
    """All collections together, where there are several: means of the main metric, and ranks.

    Ranks are of the methods that have a value on every collection.
    """
    metric = study.metrics[0]
    if len(sections) < 2 or not is_compared(study.measure, metric):
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
