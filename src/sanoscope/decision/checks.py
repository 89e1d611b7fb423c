"""Scores and labels as arrays that can be computed with, or an error that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.errors import DataError

NORMAL, ABNORMAL, UNKNOWN = 0, 1, -1

Labels = Sequence[int | None] | np.ndarray


def checked_scores(scores: ArrayLike) -> np.ndarray:
    """The scores as ``(N,)`` float64, at least one and all finite.

    Raises:
        DataError: There are none, or some are NaN or infinite and so have no place in an order.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise DataError(f"scores of shape {array.shape}; give one score for each image, at least one")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(
            f"{bad.size} of {array.size} scores are not finite, the first is {array[bad[0]]} "
            f"at position {bad[0]}; leave these images out"
        )
    return array


def checked_labels(labels: Labels, count: int) -> np.ndarray:
    """The labels as ``(N,)`` integers: ``NORMAL``, ``ABNORMAL`` or ``UNKNOWN``.

    Args:
        labels: 0, 1, or None, -1 or NaN where unknown.
        count: How many there must be.

    Raises:
        DataError: Another number of labels, or a label of another value.
    """
    if len(labels) != count:
        raise DataError(f"{len(labels)} labels for {count} scores; give one label for each score")
    known = [UNKNOWN if label is None or label != label else label for label in labels]  # NaN is not itself
    strange = next((label for label in known if label not in (NORMAL, ABNORMAL, UNKNOWN)), None)
    if strange is not None:
        raise DataError(f"label {strange!r}; use 0 for normal, 1 for abnormal, None for unknown")
    return np.array(known, dtype=np.int64)
