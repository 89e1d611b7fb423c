"""Thresholds for maps: percentiles of what normal images' maps hold (Silva-Rodríguez, Naranjo, Dolz)."""

from __future__ import annotations

import numpy as np

# Every whole percentile, so that any of them can be asked for later without the images.
PERCENTILES = np.arange(101)


def percentile_curve(maps: np.ndarray) -> np.ndarray:
    """For each whole percentile, the median over images of that percentile of the image's map, ``(101,)``.

    The paper speaks of the average, its released code takes the median.

    Args:
        maps: Of training normals, ``(N, H, W)``.
    """
    of_images = np.percentile(maps.reshape(len(maps), -1), PERCENTILES, axis=1)  # (101, N)
    return np.asarray(np.median(of_images, axis=1))
