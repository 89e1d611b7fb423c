"""Metrics of weighted images: a resample of the data is an integer weight for each image.

Ranking metrics need the order of the scores, which no resample changes, so it is found once. Then the area
under the ROC curve and the average precision of many resamples are a few cumulative sums.
"""

from __future__ import annotations

import numpy as np

METRIC_LABELS = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "prevalence": "Prevalence",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "true_positives": "True positives",
    "false_positives": "False positives",
    "true_negatives": "True negatives",
    "false_negatives": "False negatives",
}

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")

# What a metric cannot do without; where it is missing the metric is NaN here and this is the reason given.
NEEDS = {
    "auroc": "needs both classes",
    "average_precision": "needs both classes",
    "balanced_accuracy": "needs both classes",
    "f1": "needs the abnormal class",
    "sensitivity": "needs the abnormal class",
    "specificity": "needs the normal class",
}


class WeightedMetrics:
    """The metrics of one set of images, as a function of the images' weights.

    Args:
        abnormal: ``(N,)`` bool, the truth.
        scores: ``(N,)``, finite.
        predictions: ``(N,)`` bool, or None; then the metrics of decisions are left out.
    """

    def __init__(self, abnormal: np.ndarray, scores: np.ndarray, predictions: np.ndarray | None) -> None:
        order = np.argsort(scores, kind="stable")
        self._abnormals = order[abnormal[order]]
        self._normals = order[~abnormal[order]]
        of_abnormals, of_normals = scores[self._abnormals], scores[self._normals]
        # For each abnormal image: how many normals, and how many abnormals, have a lower score.
        self._normals_below = np.searchsorted(of_normals, of_abnormals, side="left")
        self._normals_not_above = np.searchsorted(of_normals, of_abnormals, side="right")
        self._abnormals_below = np.searchsorted(of_abnormals, of_abnormals, side="left")
        self._cells = None
        if predictions is not None:
            p, a = predictions, abnormal
            self._cells = np.stack([p & a, p & ~a, ~p & ~a, ~p & a], axis=1).astype(np.float64)  # as in COUNTS

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric for every row of weights, ``(R,)`` each; NaN where the metric is not defined.

        Args:
            weights: ``(R, N)`` whole numbers as floats: how often each image is present.
        """
        values = self._ranking_metrics(weights)
        if self._cells is not None:
            values |= _decision_metrics(*(weights @ self._cells).T)
        return values

    def _ranking_metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        of_abnormals = weights[:, self._abnormals]
        normals, abnormals = _sums_from_zero(weights[:, self._normals]), _sums_from_zero(of_abnormals)
        n_normal, n_abnormal = normals[:, -1], abnormals[:, -1]

        # AUROC: the normals that each abnormal image outranks, ties counted half.
        below = normals[:, self._normals_below]
        outranked = (of_abnormals * (below + normals[:, self._normals_not_above])).sum(axis=1) / 2
        # Average precision: the precision of calling abnormal whatever scores at least as high as an abnormal
        # image, averaged over the abnormal images.
        true_positives = n_abnormal[:, None] - abnormals[:, self._abnormals_below]
        called = true_positives + n_normal[:, None] - below
        precisions = true_positives / np.maximum(called, 1)  # none called: an image of weight 0

        both = n_abnormal * (n_normal > 0)
        return {
            "auroc": ratio(outranked, n_abnormal * n_normal),
            "average_precision": ratio((of_abnormals * precisions).sum(axis=1), both),
            "prevalence": ratio(n_abnormal, n_abnormal + n_normal),
        }


def _decision_metrics(tp: np.ndarray, fp: np.ndarray, tn: np.ndarray, fn: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of decisions, from the four cells of the confusion matrix, ``(R,)`` each."""
    sensitivity, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    return {
        "accuracy": ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": np.where(tp + fn > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan),
        "sensitivity": sensitivity,
        "specificity": specificity,
        **dict(zip(COUNTS, (tp, fp, tn, fn), strict=True)),
    }


def _sums_from_zero(weights: np.ndarray) -> np.ndarray:
    """Cumulative sums of each row, ``(R, n + 1)``: entry i is the weight of the first i images."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where the whole is zero."""
    result = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
