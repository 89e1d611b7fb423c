"""Curves for figures, by scikit-learn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import ABNORMAL, UNKNOWN, Labels, checked_labels, checked_scores
from sanoscope.errors import DataError


class RocCurve(NamedTuple):
    """Corners of the ROC curve, ``(K,)`` each, by falling threshold; abnormal means ``score >= threshold``.

    The first threshold is infinite: nothing is abnormal there.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


class PrecisionRecallCurve(NamedTuple):
    """Points by rising threshold: ``(K + 1,)`` and ``(K,)``; abnormal means ``score >= threshold``.

    The last point, precision 1 at recall 0, has no threshold.
    """

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray


def roc(labels: Labels, scores: ArrayLike) -> RocCurve:
    """The ROC curve of the images with a label.

    Raises:
        DataError: One of the classes is missing.
    """
    from sklearn.metrics import roc_curve

    return RocCurve(*roc_curve(*_with_both_classes(labels, scores)))


def precision_recall(labels: Labels, scores: ArrayLike) -> PrecisionRecallCurve:
    """The precision-recall curve of the images with a label.

    Raises:
        DataError: One of the classes is missing.
    """
    from sklearn.metrics import precision_recall_curve

    curve = precision_recall_curve(*_with_both_classes(labels, scores), drop_intermediate=True)
    return PrecisionRecallCurve(*curve)


def _with_both_classes(labels: Labels, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores of the images with a label."""
    scores = checked_scores(scores)
    known = checked_labels(labels, scores.size)
    labelled = known != UNKNOWN
    abnormal = known[labelled] == ABNORMAL
    if abnormal.all() or not abnormal.any():
        raise DataError(f"{(~abnormal).sum()} normal and {abnormal.sum()} abnormal images; a curve needs both classes")
    return abnormal, scores[labelled]
