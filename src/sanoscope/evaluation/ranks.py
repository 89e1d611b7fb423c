"""Methods compared by their ranks on several collections, or other blocks.

Source: Demšar: "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.errors import DataError


def mean_ranks(values: ArrayLike) -> np.ndarray:
    """The mean rank of each method, ``(M,)``: 1 is the best; methods that tie share their ranks.

    Args:
        values: ``(B, M)``, of each method in each block; higher is better. Blocks where any is NaN are left out.

    Returns:
        The ranks; NaN where no block is complete.
    """
    from scipy.stats import rankdata

    complete = _complete_blocks(values)
    if not len(complete):
        return np.full(complete.shape[1], np.nan)
    return np.asarray(rankdata(-complete, axis=1).mean(axis=0))


def friedman(values: ArrayLike) -> float | None:
    """The p-value of Friedman's test that all methods are equally good, by the chi-squared approximation.

    Args:
        values: As for ``mean_ranks``.

    Returns:
        None with fewer than three methods or complete blocks; 1 where all methods tie in every block.
    """
    from scipy.stats import friedmanchisquare

    complete = _complete_blocks(values)
    if min(complete.shape) < 3:
        return None
    if (complete == complete[:, :1]).all():  # the statistic would be 0/0
        return 1.0
    return float(friedmanchisquare(*complete.T).pvalue)


def critical_difference(methods: int, blocks: int, level: float = 0.95) -> float:
    """How far apart two mean ranks must be to differ, by Nemenyi's test of all pairs.

    Args:
        methods: How many are compared, at least two.
        blocks: How many complete blocks the ranks are means of.
        level: One less the chance that any pair of equally good methods is called different.

    Raises:
        DataError: Fewer than two methods, or no block.
    """
    from scipy.stats import studentized_range

    if methods < 2 or blocks < 1:
        raise DataError(f"{methods} methods in {blocks} blocks; ranks need at least two methods and a block")
    quantile = studentized_range.ppf(level, methods, inf) / sqrt(2)
    return float(quantile * sqrt(methods * (methods + 1) / (6 * blocks)))


def _complete_blocks(values: ArrayLike) -> np.ndarray:
    """The blocks in which every method has a value, ``(B', M)``."""
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array).any(axis=1)]
