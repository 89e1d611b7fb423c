"""The trials of a search as rows, the best first."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.report.search_content import TrialRow
from sanoscope.selection.results import FoldResult, SearchResult, Trial


def placements(fold: FoldResult) -> np.ndarray:
    """For each known anomaly, the share of the fold's normals that score below it, ties counted half; ``(A,)``.

    Their mean is the AUROC, and the mean of some of them is the AUROC on these alone (the placement values of
    DeLong, DeLong and Clarke-Pearson 1988).

    Args:
        fold: With scores of at least one normal.
    """
    normal, known = np.sort(fold.normal), np.asarray(fold.known, dtype=np.float64)
    below, not_above = (np.searchsorted(normal, known, side=side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * normal.size))


def fold_value(fold: FoldResult, criterion: str) -> float:
    """The criterion in one fold; NaN where it has no scores."""
    if criterion == "validation-loss":
        return float("nan") if fold.loss is None else fold.loss
    return float(placements(fold).mean()) if fold.normal and fold.known else float("nan")


def varying_options(trials: Iterable[Trial]) -> list[str]:
    """Names of the options that are not the same in all trials, in the order of their first appearance."""
    settings = [{name: json.dumps(value) for name, value in trial.options.items()} for trial in trials]
    names = dict.fromkeys(name for options in settings for name in options)
    return [name for name in names if len({options.get(name) for options in settings}) > 1]


def ranking(result: SearchResult) -> tuple[TrialRow, ...]:
    """The complete trials, the best first, then the pruned, the failed and the running ones."""
    options = varying_options(result.trials)
    ranked = result.ranked
    places = {trial.number: rank for rank, trial in enumerate(ranked, start=1)}
    others = [trial for trial in result.trials if trial.number not in places]
    others.sort(key=lambda trial: (("pruned", "failed", "running", "complete").index(trial.state), trial.number))
    return tuple(_row(trial, places.get(trial.number), result.criterion, options) for trial in (*ranked, *others))


def _row(trial: Trial, rank: int | None, criterion: str, options: Sequence[str]) -> TrialRow:
    folds = trial.folds
    values = tuple(fold_value(fold, criterion) for fold in folds)
    return TrialRow(
        rank=rank,
        number=trial.number,
        state=trial.state,
        value=trial.value if rank else None,
        fold_values=values,
        deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        loss=_mean([fold_value(fold, "validation-loss") for fold in folds]),
        iterations=_mean([fold.iterations for fold in folds]) or None,  # what is learned in closed form has none
        seconds=sum(fold.seconds for fold in folds),
        oracle=mean_test_auroc(trial),
        options={name: trial.options[name] for name in options if name in trial.options},
        reason=trial.reason,
    )


def mean_test_auroc(trial: Trial) -> float | None:
    """The mean over folds; None where a fold was not tested."""
    values = [fold.test_auroc for fold in trial.folds if fold.test_auroc is not None]
    return _mean(values) if len(values) == len(trial.folds) else None


def write_ranking(result: SearchResult, file: Path) -> None:
    """Write all trials as CSV, an option a column; values that are no text or number are written as JSON."""
    rows = ranking(result)
    folds = [f"fold {fold}" for fold in range(1, result.folds + 1)]
    lines = [_line(row, folds) for row in rows]
    options = dict.fromkeys(name for row in rows for name in row.options)
    columns = ["rank", "trial", "state", "value", "standard deviation", *folds, "validation loss", "iterations"]
    columns += ["seconds", "test AUROC (oracle)", *options, "reason"]
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        # Quoted, so that whatever is in a value stays in its cell.
        writer = csv.DictWriter(stream, columns, quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerows(lines)


def _line(row: TrialRow, folds: Sequence[str]) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "trial": row.number,
        "state": row.state,
        "value": row.value,
        "standard deviation": row.deviation,
        **dict(zip(folds, row.fold_values, strict=False)),  # a pruned trial has fewer
        "validation loss": row.loss,
        "iterations": row.iterations,
        "seconds": row.seconds,
        "test AUROC (oracle)": row.oracle,
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in row.options.items()},
        "reason": row.reason,
    }


def _mean(values: Sequence[float]) -> float | None:
    mean = float(np.mean(values)) if values else np.nan
    return None if np.isnan(mean) else mean
