"""One configuration in one fold: trained on some normals, and judged on others and on the known anomalies."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sanoscope.cases import k_fold
from sanoscope.cases.case import Cases
from sanoscope.detector import Detector
from sanoscope.evaluation.metrics import WeightedMetrics
from sanoscope.recipe import Recipe
from sanoscope.selection.known import SearchCases
from sanoscope.selection.results import FoldResult

# Of the normals that are not held out: the share for early stopping and the validation loss, as in the paper's folds.
VALIDATION_SHARE = 0.2
EARLY_STOPPING = "training.early_stopping"
# How the folders begin that folds keep their best weights in meanwhile.
SCRATCH = "fold-"


@dataclass(frozen=True)
class Folds:
    """What every configuration is trained and judged on.

    Attributes:
        normals: The search's normals once a fold: training, validation, and held out as the test side.
        known: The known anomalies.
        test: The final test, to see afterwards what a choice is worth; None where it is not looked at.
    """

    normals: Sequence[Cases]
    known: Cases
    test: Cases | None


def divide_folds(divided: SearchCases, folds: int, seed: int, by: str, oracle: bool) -> Folds:
    """Folds of the normals of the training and validation sides.

    Raises:
        DataError: If there are fewer subjects than folds.
        OptionError: If there are fewer than two folds.
    """
    cases = divided.cases
    normals = cases.where(lambda case: case.split in ("train", "validation")).normals
    test = cases.test if oracle and {0, 1} <= set(cases.test.labels) else None
    return Folds(k_fold(normals, folds, seed, by, VALIDATION_SHARE), divided.known, test)


def run_fold(recipe: Recipe, folds: Folds, number: int, seed: int, device: str, scratch: Path) -> FoldResult:
    """Train and judge a configuration in one fold.

    Args:
        recipe: The configuration.
        folds: What it is trained and judged on.
        number: Of the fold, from 0.
        seed: Of everything random in the training.
        device: As for ``Detector``.
        scratch: A folder for what training keeps meanwhile, as early stopping does.

    Raises:
        SanoscopeError: If the configuration cannot be trained, or an image cannot be prepared.
    """
    begun = time.monotonic()
    cases = folds.normals[number]
    detector = Detector(recipe, seed=seed, device=device)
    keeps = tempfile.TemporaryDirectory(prefix=SCRATCH, dir=scratch) if stops_early(recipe) else nullcontext()
    with keeps as folder:
        detector.fit(cases.train, cases.validation, folder=folder, quiet=True)
    loss, iterations = best_epoch(detector)
    return FoldResult(
        loss=loss,
        iterations=iterations,
        normal=_scores(detector, cases.test),
        known=_scores(detector, folds.known),
        test_auroc=None if folds.test is None else _auroc(detector, folds.test),
        seconds=round(time.monotonic() - begun, 1),
    )


def stops_early(recipe: Recipe) -> bool:
    """Whether a training ends by the validation loss."""
    return bool(recipe.values.get(EARLY_STOPPING))


def best_epoch(detector: Detector) -> tuple[float | None, int]:
    """The least validation loss, and how many iterations had been carried out; None, and all of them, without any.

    What is learned in closed form has neither. While a network grows, or in the first of two stages, other things are
    compared, so that these losses do not count.
    """
    history = detector.history_
    if not history:
        return None, 0
    first = detector.provenance_["training"]["validated after iteration"]
    losses = [row.get("validation/loss", math.nan) if row["iterations"] > first else math.nan for row in history]
    if np.isnan(losses).all():
        return None, int(history[-1]["iterations"])
    best = int(np.nanargmin(losses))
    return losses[best], int(history[best]["iterations"])


def _scores(detector: Detector, cases: Cases) -> tuple[float, ...]:
    """Single precision, written in full, as a storage keeps it."""
    return tuple(float(f"{score:.8g}") for score in detector.decision_function(cases)) if len(cases) else ()


def _auroc(detector: Detector, test: Cases) -> float:
    scores = detector.decision_function(test)
    metrics = WeightedMetrics(np.array([case.label == 1 for case in test]), scores, None)
    return float(metrics(np.ones((1, len(test))))["auroc"][0])


def readable(recipe: Recipe, cases: Cases) -> tuple[Cases, tuple[str, ...]]:
    """The cases whose images can be read, as the scores of all folds must be of the same ones, and who is left out.

    Raises:
        DataError: If no training normal can be read.
    """
    preparation = recipe.build("preparation")
    learned = preparation.fit(train := cases.train.normals)
    learned_from = {case.name for case in train}
    others = preparation.decode(cases.where(lambda case: case.split is not None and case.name not in learned_from))
    unreadable = [*learned.unreadable, *others.unreadable]
    names = {item.case.name for item in unreadable}
    notes = tuple(f"could not be read and was left out: {item.reason}" for item in unreadable)
    return cases.where(lambda case: case.name not in names), notes
