"""Whether one method is better than another on the same images: paired tests, and their correction for many.

They describe the choice of the test images. What another training of the same method would give is no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import ABNORMAL, UNKNOWN, Labels, checked_labels, checked_scores
from sanoscope.errors import DataError
from sanoscope.evaluation.bootstrap import percentile_interval
from sanoscope.evaluation.sets import checked_subjects
from sanoscope.evaluation.units import number_subjects

_DECIMALS = 12  # of metrics; beyond is rounding
_ROUNDING = 10.0**-_DECIMALS


@dataclass(frozen=True)
class Difference:
    """By how much a method is better than the reference.

    Attributes:
        value: The other's value less the reference's.
        low: Lower end of the interval; None where there is none.
        high: Upper end of the interval.
        p: Two-sided p-value of no difference; None where the data do not give one.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class JudgedImages:
    """The images of one test side with the scores of two methods, of one training or several.

    Attributes:
        labels: ``(N,)``: 0 normal, 1 abnormal; images of unknown label, None or -1, are left out.
        reference: ``(S, N)``, scores of the reference; a row for each training.
        other: ``(S', N)``, scores of the other method; it may have been trained more or less often.
        subjects: ``(N,)``, None where unknown; such an image counts as a subject of its own.
    """

    labels: Labels
    reference: ArrayLike
    other: ArrayLike
    subjects: Sequence[str | None] | None = None


def paired_difference(
    reference: ArrayLike, other: ArrayLike, reference_draws: ArrayLike, other_draws: ArrayLike, level: float = 0.95
) -> Difference:
    """The difference of a metric by the paired bootstrap: a percentile interval, and the p-value that belongs to it.

    The p-value is twice the share of resamples on the smaller side of no difference, counted with one resample more,
    and at most 1. It is never below ``2 / (R + 1)``: many comparisons that are to be corrected by ``holm`` need many
    resamples. With few subjects it can be too small, as the interval is too narrow.
    Source: Davison, Hinkley: "Bootstrap methods and their application" (1997), chapters 4 and 5.

    Args:
        reference: The metric of the reference on all the data; of several trainings or folds their mean counts.
        other: That of the other method.
        reference_draws: ``(R,)``, the metric, or its mean, of the reference on each resample.
        other_draws: ``(R,)``, of the other on the same resamples. Where either is NaN the resample is left out.
        level: The coverage that the interval aims at.

    Raises:
        DataError: Not as many draws of the one as of the other.
    """
    of_reference, of_other = np.asarray(reference_draws, np.float64), np.asarray(other_draws, np.float64)
    if of_reference.shape != of_other.shape:
        raise DataError(
            f"draws of shape {of_reference.shape} of the reference and {of_other.shape} of the other method; "
            "evaluate both with the same resamples"
        )
    # Equal metrics may differ by rounding, where means over trainings were taken in another order.
    differences = np.round(of_other - of_reference, _DECIMALS)
    differences = differences[~np.isnan(differences)]
    value = float(np.asarray(other, np.float64).mean() - np.asarray(reference, np.float64).mean())
    if not differences.size:
        return Difference(value, None, None, None)
    low, high = percentile_interval(differences, level)
    smaller = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return Difference(value, low, high, min(1.0, 2 * (1 + smaller) / (1 + differences.size)))


def delong(folds: Sequence[JudgedImages], level: float = 0.95) -> Difference:
    """The difference of the mean AUROC over folds and trainings, by the test of DeLong, DeLong, Clarke-Pearson.

    The AUROC is the mean of the placement values: of each abnormal image, the share of normal ones that it outranks,
    and the reverse. Those of several trainings are averaged. Folds are independent: no subject may be in two. The
    images of one subject are not, and the variance is that of Obuchowski, which is DeLong's where each image is of
    another subject. The p-value is by the normal distribution, and can be too small with few subjects of a class.
    Sources: DeLong, DeLong, Clarke-Pearson: "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988); Obuchowski: "Nonparametric analysis of clustered ROC curve data",
    Biometrics 53 (1997).

    Args:
        folds: The test sides, at least one.
        level: The coverage that the interval aims at.

    Returns:
        The difference; without interval and p-value where fewer than two subjects have images of a class, or where
        the AUROCs differ by the same placement of every image, as a perfect and a constant score do. Equal
        placements of every image have the p-value 1.

    Raises:
        DataError: A fold lacks a class, a score is not finite, or the lengths differ.
    """
    from scipy.stats import norm

    values, variances = zip(*(_auroc_difference(fold) for fold in folds), strict=True)
    value, variance = float(np.mean(values)), float(np.sum(variances)) / len(folds) ** 2
    error = sqrt(variance)
    if error < _ROUNDING and abs(value) < _ROUNDING:
        return Difference(value, value, value, 1.0)
    if error < _ROUNDING or np.isnan(error):
        return Difference(value, None, None, None)
    half = float(norm.ppf((1 + level) / 2)) * error
    return Difference(value, value - half, value + half, float(2 * norm.sf(abs(value) / error)))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number: below 0.05, the chance of any false discovery among them is below 0.05.

    Source: Holm: "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    Args:
        p: In any order; None stays None and is not counted.
    """
    known = [(value, position) for position, value in enumerate(p) if value is not None]
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, position) in enumerate(sorted(known)):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[position] = largest
    return adjusted


def _auroc_difference(fold: JudgedImages) -> tuple[float, float]:
    """The difference of the mean AUROC, and its variance over subjects; NaN with fewer than two of a class."""
    known = checked_labels(fold.labels, len(fold.labels))
    labelled = known != UNKNOWN
    abnormal = known[labelled] == ABNORMAL
    if abnormal.all() or not abnormal.any():
        raise DataError(f"{(~abnormal).sum()} normal and {abnormal.sum()} abnormal images; an AUROC needs both classes")
    of_reference, of_other = (
        _placements(_checked_rows(scores, known.size)[:, labelled], abnormal) for scores in (fold.reference, fold.other)
    )
    placement = of_other - of_reference
    value = float(placement[abnormal].mean())

    names = checked_subjects([None] * known.size if fold.subjects is None else fold.subjects, known.size)
    subject, _ = number_subjects(names[labelled])
    # Of each subject, what its abnormal images, and its normal ones, add to the difference beyond their expected share.
    of_abnormals, of_normals = (
        np.bincount(subject[one], (placement[one] - value) / one.sum(), minlength=subject.max() + 1)
        for one in (abnormal, ~abnormal)
    )
    n_abnormal, n_normal, n_all = (np.unique(of).size for of in (subject[abnormal], subject[~abnormal], subject))
    if min(n_abnormal, n_normal) < 2:
        return value, np.nan
    variance = (
        n_abnormal / (n_abnormal - 1) * (of_abnormals**2).sum()
        + n_normal / (n_normal - 1) * (of_normals**2).sum()
        + 2 * n_all / (n_all - 1) * (of_abnormals * of_normals).sum()
    )
    return value, float(variance)


def _checked_rows(scores: ArrayLike, count: int) -> np.ndarray:
    """The scores of each training, ``(S, N)``."""
    rows = np.stack([checked_scores(row) for row in np.atleast_2d(np.asarray(scores, np.float64))])
    if rows.shape[1] != count:
        raise DataError(f"{count} labels for {rows.shape[1]} scores; give one label for each score")
    return rows


def _placements(rows: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
    """Of each image, the share of the other class that it is ranked rightly against, ties half, ``(N,)``.

    The mean over the rows of ``(S, N)`` scores. An image's rank among all less that within its class is what it
    outranks of the other: Sun, Xu: "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21
    (2014).
    """
    from scipy.stats import rankdata

    placements = np.empty(abnormal.size)
    for rising, one in ((rows, abnormal), (-rows, ~abnormal)):
        outranked = rankdata(rising, axis=1)[:, one] - rankdata(rising[:, one], axis=1)
        placements[one] = outranked.mean(axis=0) / (~one).sum()
    return placements
