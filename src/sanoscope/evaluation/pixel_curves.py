"""What follows from the order of the scores alone, computed from how often each score occurs."""

from __future__ import annotations

import numpy as np

from sanoscope.evaluation.metrics import ratio
from sanoscope.evaluation.pixel_counts import ScoreCounts


def curve_metrics(normal: np.ndarray, abnormal: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of the ROC and precision-recall curves, ``(...)`` each; NaN where they are not defined.

    Pixels of one bin are tied: a threshold is above or below all of them.

    Args:
        normal: ``(..., K)``, the normal pixels in each bin, by falling score.
        abnormal: ``(..., K)``, the abnormal ones.
    """
    tp, fp = np.cumsum(abnormal, axis=-1, dtype=np.float64), np.cumsum(normal, axis=-1, dtype=np.float64)
    n_abnormal, n_normal = tp[..., -1], fp[..., -1]
    both = n_abnormal * (n_normal > 0)

    outranked = (abnormal * (n_normal[..., None] - fp + normal / 2)).sum(axis=-1)
    f1 = 2 * tp / np.maximum(tp + fp + n_abnormal[..., None], 1)
    precision = tp / np.maximum(tp + fp, 1)
    precision[tp + fp == 0] = 1  # where nothing is called abnormal the curve begins, at precision 1 and recall 0
    before = np.concatenate([np.ones_like(precision[..., :1]), precision[..., :-1]], axis=-1)
    return {
        "auroc": ratio(outranked, n_abnormal * n_normal),
        "average_precision": ratio((abnormal * precision).sum(axis=-1), both),
        "auprc_trapezoidal": ratio((abnormal * (precision + before)).sum(axis=-1) / 2, both),
        "prevalence": ratio(n_abnormal, n_abnormal + n_normal),
        "oracle_dice": np.where(n_abnormal > 0, f1.max(axis=-1), np.nan),
    }


def operating_point(counts: ScoreCounts) -> float:
    """The threshold with the largest F1 when pixels above it are called abnormal; the lowest of equally good ones.

    The points of a precision-recall curve call pixels *at* their threshold abnormal too. This threshold is the
    float just below the curve's, so that ``score > threshold`` is the very decision whose F1 was the largest.

    Args:
        counts: Of pixels of which at least one is abnormal.
    """
    tp, fp = (np.cumsum(of_class[::-1])[::-1] for of_class in (counts.abnormal, counts.normal))
    best = np.argmax(2 * tp / (tp + fp + tp[0]))
    with np.errstate(over="ignore"):  # below the lowest float is minus infinity, which is right
        return float(np.nextafter(counts.values[best], np.float32(-np.inf)))
