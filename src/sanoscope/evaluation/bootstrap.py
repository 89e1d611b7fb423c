"""The bootstrap over subjects.

A drawn subject comes with all its images, as often as it was drawn, because the images of one patient
resemble each other and are not independent evidence.
Davison, Hinkley: "Bootstrap methods and their application" (1997), section 3.8 on hierarchical data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Weights made at a time: 16 MB, and about ten arrays of that size are alive while metrics are computed.
_WEIGHTS_AT_ONCE = 2_000_000


def resample_weights(subject: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is present in each resample, ``(R, N)`` floats, in portions of some rows.

    Args:
        subject: ``(N,)`` whole numbers 0 … S-1, the subject of each image. Each resample draws S subjects.
        resamples: Rows in all.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    n_subjects = int(subject.max()) + 1
    rows_at_once = max(1, _WEIGHTS_AT_ONCE // subject.size)
    for start in range(0, resamples, rows_at_once):
        rows = min(rows_at_once, resamples - start)
        drawn = rng.integers(n_subjects, size=(rows, n_subjects))
        drawn += np.arange(rows)[:, None] * n_subjects  # a number of its own for each subject in each row
        times = np.bincount(drawn.ravel(), minlength=rows * n_subjects).reshape(rows, n_subjects)
        yield times.astype(np.float64)[:, subject]


def percentile_interval(values: np.ndarray, confidence: float) -> tuple[float, float] | tuple[None, None]:
    """The interval that holds the middle of the resampled values; NaN values are left out.

    Args:
        values: ``(R,)``, one for each resample.
        confidence: The fraction in the middle, such as 0.95.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None, None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
