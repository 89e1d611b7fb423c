"""Calibrated p-values of scores.

Bates, Candès, Lei, Romano, Sesia: "Testing for outliers with conformal p-values",
Annals of Statistics 51 (2023), 149-178; the marginal p-values of its section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import checked_scores


def p_values(scores: ArrayLike, normal_scores: ArrayLike) -> np.ndarray:
    """How surprising each score would be for a normal image, ``(N,)`` in ``[1 / (n + 1), 1]``.

    The p-value is ``(1 + #{normals with a score >= s}) / (n + 1)``. For a normal image that is exchangeable
    with the n normals, the chance of a p-value at or below a is at most a, on average over draws of the
    normals. All images share the same n normals, so their p-values depend on each other.

    Args:
        scores: ``(N,)``, higher is more abnormal.
        normal_scores: ``(n,)`` scores of normal images that were not trained on.

    Raises:
        DataError: One of them is empty or holds a score that is not finite.
    """
    scores, normals = checked_scores(scores), np.sort(checked_scores(normal_scores))
    at_least = normals.size - np.searchsorted(normals, scores, side="left")
    return (1 + at_least) / (normals.size + 1)
