"""Cross-validation: how well clusters match classes on images that they were not found in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sanoscope.cases import fingerprint, rotating_folds
from sanoscope.cases.case import Cases
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.clustering.naming import name_clusters
from sanoscope.console import say
from sanoscope.errors import DataError, OptionError, SanoscopeError
from sanoscope.provenance import digest
from sanoscope.result_folder import ResultFolder
from sanoscope.subtypes.classes import classes_of
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoders import Method
from sanoscope.subtypes.fold import run_fold, run_supervised_fold, trivial_folds
from sanoscope.subtypes.fold_table import CrossValidated, FoldResult

# What ends one fold, so that the others are carried out nevertheless.
FAILURES = (SanoscopeError, torch.OutOfMemoryError)


def cross_validate(
    methods: Sequence[Method],
    cases: Cases,
    *,
    folds: int = 5,
    by: str = "subject",
    settings: ClusterSettings | None = None,
    naming: str = "one-to-one",
    seed: int = 0,
    classifier: Classifier | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] = say,
) -> list[CrossValidated]:
    """Compare methods in the same folds, each case being tested once.

    Args:
        methods: One row each.
        cases: Labelled, at least some of them; sides they have are forgotten.
        folds: See ``rotating_folds``.
        by: ``"subject"`` or ``"image"``.
        settings: How clusters are found; the defaults where None.
        naming: One of ``clustering.naming.NAMINGS``.
        seed: Of everything random, the folds included.
        classifier: The supervised reference; None leaves it out.
        folder: Keeps each fold's result when it is done, and is where those that are done already are taken from.
        progress: Called with a line for each fold.

    Returns:
        Rows of the methods, of the classifier, and of giving every image one class. A fold that failed is among its
        row's failures; it is tried anew the next time.

    Raises:
        DataError: If no case has a known class, or there are too few for the folds.
        OptionError: If two methods have one name, or folds or naming cannot be.
    """
    settings = settings or ClusterSettings()
    if repeated := [name for name, count in Counter(method.name for method in methods).items() if count > 1]:
        raise OptionError(f"method '{repeated[0]}' is given twice; leave one out, or compare them one after the other")
    splits = splits_of(cases, folds, by, settings, naming, seed)
    rows = [_row_of_clusters(method, settings, naming, seed) for method in methods]
    if classifier is not None:
        rows.append(_row_of_classifier(classifier, seed))
    storage = ResultFolder(folder)
    done = [_carry_out(row, splits, storage, progress) for row in rows]
    trivial = [trivial_folds(split) for split in splits]
    return done + [
        CrossValidated(title, title.capitalize(), "trivial", tuple(fold[title] for fold in trivial))
        for title in trivial[0]
    ]


def splits_of(cases: Cases, folds: int, by: str, settings: ClusterSettings, naming: str, seed: int) -> list[Cases]:
    """The folds that ``cross_validate`` has, or what it refuses, which is better known before a long training.

    Raises:
        DataError: If no case has a known class, or there are too few for the folds.
        OptionError: If folds or naming cannot be.
    """
    names, _ = classes_of(cases)
    if not names:
        raise DataError(f"{cases.source}: no image has a class to compare clusters with; give labels in a manifest")
    # Whether clusters can be named so at all is known before there are any.
    name_clusters(np.zeros(1, np.int64), np.zeros(1, np.int64), settings.clusters, len(names), naming)
    return rotating_folds(cases, folds, seed, by)


@dataclass(frozen=True)
class _Row:
    """A row to be carried out: what it is called, what its results depend on beside the split, and what gives them."""

    name: str
    title: str
    kind: str
    depends_on: Mapping[str, Any]
    run: Callable[[Cases], FoldResult]


def _row_of_clusters(method: Method, settings: ClusterSettings, naming: str, seed: int) -> _Row:
    depends_on = {"method": method.settings, "clusters": asdict(settings), "naming": naming, "seed": seed}
    return _Row(
        method.name,
        method.title,
        method.kind,
        depends_on,
        lambda split: run_fold(method, split, settings, naming, seed),
    )


def _row_of_classifier(classifier: Classifier, seed: int) -> _Row:
    recipe, depends_on = classifier.recipe, {"method": classifier.recipe.values, "seed": seed}
    return _Row(
        recipe.name, recipe.title, "supervised", depends_on, lambda split: run_supervised_fold(classifier, split, seed)
    )


def _carry_out(
    row: _Row, splits: Sequence[Cases], storage: ResultFolder, progress: Callable[[str], None]
) -> CrossValidated:
    results, failures = [], {}
    for number, split in enumerate(splits, start=1):
        name, where = f"{row.name}-fold-{number}", f"{row.title}, fold {number} of {len(splits)}"
        depends_on = {**row.depends_on, "data": _identity(split)}
        stored = storage.find(name, depends_on)
        if stored is not None:
            results.append(FoldResult.from_json(stored))
            continue
        try:
            result = row.run(split)
        except FAILURES as error:
            failures[number] = str(error).partition("\n")[0]
            progress(f"{where}: failed: {failures[number]}")
            continue
        storage.keep(name, depends_on, result.to_json())
        progress(f"{where}: {_in_words(result.values)}")
        results.append(result)
    return CrossValidated(row.name, row.title, row.kind, tuple(results), failures)


def _identity(split: Cases) -> list[str]:
    """What tells one split of one collection from another: names, sides and labels, and classes and subjects."""
    names, codes = classes_of(split)
    known = [[case.name, case.subject, int(code)] for case, code in zip(split, codes, strict=True)]
    return [fingerprint(split)["sha256"], digest([json.dumps([names, known])])]


def _in_words(values: Mapping[str, float | None]) -> str:
    parts = [f"{name} {'-' if values[name] is None else format(values[name], '.3f')}" for name in ("accuracy", "f1")]
    return f"{', '.join(parts)} ({values['seconds']:.0f} s)"
