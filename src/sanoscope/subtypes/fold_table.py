"""What a cross-validation gives: each fold's numbers, their means with intervals, and those of all folds together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from scipy import stats

from sanoscope.evaluation.bootstrap import percentile_interval, resample_weights
from sanoscope.evaluation.results import Estimate

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class FoldResult:
    """What one method gave in one fold.

    Attributes:
        classes: Names of the classes.
        values: Metrics of the test side by name, None where they are not defined; those of ``clustering.agreement``,
            ``accuracy_oracle`` and ``f1_oracle`` with clusters named by the test side's own classes, and ``seconds``.
        subjects: Of each test subject how many of its images are of which class, in rows, and were given which, in
            columns, ``(G, G)``.
        alone: The same of the test images whose subject is unknown.
        images: How many could be read of each side.
        unreadable: Images that could not be read, and why.
        latent: Length of the vectors; None where there are none.
    """

    classes: tuple[str, ...]
    values: Mapping[str, float | None]
    subjects: Mapping[str, Sequence[Sequence[int]]]
    alone: Sequence[Sequence[int]]
    images: Mapping[str, int]
    unreadable: tuple[tuple[str, str], ...] = ()
    latent: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> FoldResult:
        """The result that ``to_json`` described."""
        unreadable = tuple((name, reason) for name, reason in stored["unreadable"])
        return cls(**{**stored, "classes": tuple(stored["classes"]), "unreadable": unreadable})


@dataclass(frozen=True)
class FoldMean:
    """A metric over folds.

    Attributes:
        mean: Of the folds where it is defined.
        deviation: Their standard deviation; None of a single fold.
        low: Lower end of the 95 % interval; None of a single fold.
        high: Upper end.
        folds: How many folds it is defined in.
        undefined: In how many it is not, as F1 without abnormal test images, or the Rand index with one class only.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    folds: int
    undefined: int


@dataclass(frozen=True)
class CrossValidated:
    """One row of a table: a method in all folds.

    Attributes:
        name: Of the method.
        title: For tables.
        kind: ``"clusters"``, ``"supervised"`` or ``"trivial"``.
        folds: Results of the folds that were carried out, in order.
        failures: Number of the fold, from 1, and why it failed, of the others.
    """

    name: str
    title: str
    kind: str
    folds: tuple[FoldResult, ...]
    failures: Mapping[int, str] = field(default_factory=dict)

    def value(self, metric: str) -> FoldMean | None:
        """The mean over folds, with the interval of the corrected resampled t-test; None where no fold has a value.

        Training sides of folds overlap, so that their results are no independent sample, and the variance of the mean
        is enlarged by the ratio of test to training images. Where folds differ much, the interval reaches beyond the
        values that the metric can have.
        Source: Nadeau, Bengio: "Inference for the generalization error", Machine Learning 52 (2003).
        """
        defined = [fold for fold in self.folds if fold.values.get(metric) is not None]
        if not defined:
            return None
        values = np.array([fold.values[metric] for fold in defined], float)
        count, mean, undefined = len(values), float(values.mean()), len(self.folds) - len(values)
        if count < 2:
            return FoldMean(mean, None, None, None, count, undefined)
        test, train = (sum(fold.images[side] for fold in defined) for side in ("test", "train"))
        deviation = float(values.std(ddof=1))
        half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * deviation * sqrt(1 / count + test / max(train, 1))
        return FoldMean(mean, deviation, mean - float(half), mean + float(half), count, undefined)

    def pooled(self, metric: str, seed: int = 0) -> Estimate:
        """``"accuracy"`` or ``"f1"`` of all folds' test images together, with a bootstrap interval over subjects.

        It needs no class to be in every fold; images of folds that failed are missing from it. An image whose subject
        is unknown counts as a subject of its own; of a single subject its images are drawn. The interval describes the
        choice of subjects, not the randomness of training.

        Args:
            metric: Which of the two.
            seed: Of the draws.
        """
        units = units_of(self.folds)
        if not len(units):
            return Estimate(None, reason="no labelled test image")
        value = float(confusion_values(units.sum(axis=0))[metric])
        if np.isnan(value):
            return Estimate(None, reason="needs images of all classes that are to be found")
        return Estimate(value, *percentile_interval(confusion_draws(units, RESAMPLES, seed)[metric], CONFIDENCE))


def units_of(folds: Sequence[FoldResult]) -> np.ndarray:
    """The counts of whatever is drawn by the bootstrap of folds' test images, ``(U, G, G)``."""
    by_subject: dict[str, np.ndarray] = {}
    for fold in folds:
        for subject, counts in fold.subjects.items():
            by_subject[subject] = by_subject.get(subject, 0) + np.array(counts)
    single = [np.array(fold.alone) for fold in folds]
    if len(by_subject) == 1 and not np.any(single):
        single, by_subject = list(by_subject.values()), {}
    images = [image for counts in single for image in _one_by_one(counts)]
    return np.array([*by_subject.values(), *images])


def confusion_draws(units: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """``confusion_values`` of each resample of units ``(U, G, G)``, ``(R,)`` each."""
    drawn = [
        confusion_values(np.tensordot(weights, units, axes=1))
        for weights in resample_weights(np.arange(len(units)), resamples, seed)
    ]
    return {name: np.concatenate([one[name] for one in drawn]) for name in ("accuracy", "f1")}


def _one_by_one(counts: np.ndarray) -> np.ndarray:
    """The counts of each single image of those that are counted, ``(N, G, G)``."""
    cells = np.eye(counts.size, dtype=int).reshape(-1, *counts.shape)
    return np.repeat(cells, counts.ravel(), axis=0)


def confusion_values(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and F1 of counts ``(..., G, G)``, true classes in rows; NaN where they are not defined.

    F1 is that of class 1 of two, otherwise the mean over classes, and needs an image of each class that it is of.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)  # (..., G)
    true, given = counts.sum(-1), counts.sum(-2)
    with np.errstate(invalid="ignore"):
        accuracy = right.sum(-1) / true.sum(-1)
        f1 = np.where(true > 0, 2 * right / (true + given), np.nan)
    return {"accuracy": accuracy, "f1": f1[..., 1] if counts.shape[-1] == 2 else f1.mean(-1)}
