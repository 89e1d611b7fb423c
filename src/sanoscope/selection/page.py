"""What a search has found as a folder of files: the ranking, all values, and a page to look at."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.errors import DataError, OptionError
from sanoscope.recipe import parse_options
from sanoscope.report.html import write_page
from sanoscope.report.search_content import ChoiceCurve, Choices, SearchContent
from sanoscope.report.search_page import render_search
from sanoscope.selection.ranking import ranking, write_ranking
from sanoscope.selection.results import FoldResult, SearchResult, Trial
from sanoscope.selection.sensitivity import Point, Sensitivity, sensitivity

RANKING_FILE, RESULT_FILE, PAGE_FILE = "ranking.csv", "search.json", "search.html"
# Lines for more numbers of kinds cannot be told apart.
_MOST_LINES = 4


def write_search(result: SearchResult, folder: Path) -> Path:
    """Write ``ranking.csv``, ``search.json`` and ``search.html``, over those of before.

    Args:
        result: The search as far as it has come.
        folder: Made where it is missing.

    Returns:
        The path of the page.

    Raises:
        OptionError: If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT_FILE).write_text(json.dumps(asdict(result), indent=1))
        write_ranking(result, folder / RANKING_FILE)
    except OSError as error:
        raise OptionError(
            f"{folder}: the search cannot be written ({error.strerror}); give a writable folder"
        ) from error
    return write_page(render_search(search_content(result)), folder / PAGE_FILE)


def read_search(file: Path) -> SearchResult:
    """Read the ``search.json`` that ``write_search`` wrote.

    Raises:
        DataError: If the file cannot be read or is none.
    """
    try:
        stored = json.loads(file.read_text())
        trials = tuple(
            Trial(**{**trial, "folds": tuple(FoldResult.from_json(fold) for fold in trial["folds"])})
            for trial in stored["trials"]
        )
        return SearchResult(
            **{**stored, "trials": trials, "kinds": tuple(stored["kinds"]), "notes": tuple(stored["notes"])}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{file}: is no {RESULT_FILE} that 'sanoscope select' wrote ({reason})") from error


def search_content(result: SearchResult) -> SearchContent:
    """What the page shows of a search."""
    best = next(iter(result.ranked), None)
    found = sensitivity(result)
    by_anomalies = result.criterion == "known-anomalies"
    return SearchContent(
        title=f"{result.recipe} on {result.data}",
        criterion="AUROC on known anomalies" if by_anomalies else "validation loss",
        explanation=_explanation(result),
        higher_is_better=by_anomalies,
        rows=ranking(result),
        best_options=best.options if best else {},
        command=fit_command(result.recipe, result.data, result.fitted or best.options) if best else "",
        choices=_choices(found) if found else None,
        facts=result.description,
        notes=result.notes,
    )


def fit_command(recipe: str, data: str, options: Mapping[str, Any]) -> str:
    """The command line that fits a recipe with some options, to be pasted into a shell."""
    assignments = [f"--set {shlex.quote(_assignment(name, value))}" for name, value in options.items()]
    return " \\\n  ".join([f"sanoscope fit {shlex.quote(recipe)} {shlex.quote(data)} --out model", *assignments])


def _assignment(name: str, value: Any) -> str:
    """``NAME=VALUE`` as ``--set`` takes it: text as it is, where it is not read as something else, and JSON."""
    quoted, plain = f"{name}={json.dumps(value)}", f"{name}={value}"
    try:
        return plain if isinstance(value, str) and parse_options([plain]) == {name: value} else quoted
    except OptionError:
        return quoted


def _explanation(result: SearchResult) -> str:
    """The criterion in a sentence."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in Counter(result.kinds).items())
    folds = f"mean over {result.folds} fold" + ("" if result.folds == 1 else "s")
    if result.criterion == "known-anomalies":
        return (
            f"Configurations are compared by the AUROC of the known anomalies ({kinds}) against the held-out normals "
            f"of a fold, {folds}. The known anomalies rank configurations; nothing is trained on them."
        )
    unused = f" The known anomalies ({kinds}) played no part in it." if kinds else ""
    return f"Configurations are compared by the least loss of a fold's validation normals, {folds}.{unused}"


def _choices(found: Sensitivity) -> Choices:
    """By test AUROC where there is one; of many numbers of kinds some, the smallest and the largest among them."""
    most = found.points[-1].kinds
    shown = np.unique(np.linspace(1, most, min(most, _MOST_LINES)).round().astype(int))
    references = found.oracle or found.value
    return Choices(
        oracle=found.oracle is not None,
        curves=[_curve([point for point in found.points if point.kinds == kinds]) for kinds in shown],
        best=references.best,
        unsupervised=references.unsupervised,
        mean=references.mean,
        repeats=found.repeats,
    )


def _curve(points: list[Point]) -> ChoiceCurve:
    worth = [point.oracle or point.value for point in points]
    return ChoiceCurve(
        kinds=points[0].kinds,
        anomalies=[point.anomalies for point in points],
        agreement=[point.agreement for point in points],
        mean=[spread.mean for spread in worth],
        low=[spread.low for spread in worth],
        high=[spread.high for spread in worth],
    )
