"""The rules that find a threshold; abnormal always means ``score > threshold``.

Youden: "Index for rating diagnostic tests", Cancer 3 (1950), 32-35; the rule of Sikdar, Tran, Xu, Yee,
"Anomaly detection in breast histopathology images with convolutional VAEs".
Quantile: the split-conformal quantile, whose p-values are in ``decision/conformal.py``.
"""

from __future__ import annotations

import math

import numpy as np


def youden_threshold(scores: np.ndarray, abnormal: np.ndarray) -> float:
    """The threshold with the largest Youden's J, true-positive rate minus false-positive rate.

    Every cut between two neighbouring scores is considered, and "nothing is abnormal" with the threshold at
    the largest score. Of equally good cuts the one with the fewest false positives is taken. The threshold
    lies midway between the two scores, so that rounding in a later run does not move an image across it.

    Args:
        scores: ``(N,)``, finite.
        abnormal: ``(N,)`` bool, with both values present.
    """
    values, position = np.unique(scores, return_inverse=True)
    at_value = np.stack([np.bincount(position[abnormal == side], minlength=values.size) for side in (0, 1)])
    totals = at_value.sum(axis=1)
    # Entry i counts what lies above values[i]; it is J times both totals, in integers so that ties are exact.
    false_positives, true_positives = totals[:, None] - at_value.cumsum(axis=1)
    j = true_positives * totals[0] - false_positives * totals[1]
    best = values.size - 1 - int(np.argmax(j[::-1]))  # from the top: false positives only rise downwards
    if best == values.size - 1:
        return float(values[-1])
    return _between(float(values[best]), float(values[best + 1]))


def quantile_threshold(normal_scores: np.ndarray, target: float) -> float:
    """The conformal quantile: the ``ceil((n + 1)(1 - target))``-th smallest normal score.

    At most the fraction ``target`` of these normals lies above it, and the same holds on average for new
    normals that are exchangeable with them. Where n is smaller than ``normals_needed(target)`` there is no
    such score and the largest is returned.

    Args:
        normal_scores: ``(n,)``, finite.
        target: The wanted false-positive rate, in (0, 1).
    """
    # Rounded first: 150 · (1 - 0.18) is a little over 123 in floating point, and ceil would make it 124.
    rank = math.ceil(round((normal_scores.size + 1) * (1 - target), 9))
    return float(np.sort(normal_scores)[min(rank, normal_scores.size) - 1])


def normals_needed(target: float) -> int:
    """The smallest number of normals on which a false-positive rate of ``target`` can be guaranteed."""
    return math.ceil(1 / target) - 1


def _between(low: float, high: float) -> float:
    """A number t with ``low <= t < high``: the middle, unless rounding puts it on ``high``."""
    middle = low / 2 + high / 2  # halved first, so that the sum cannot overflow
    return middle if low <= middle < high else low
