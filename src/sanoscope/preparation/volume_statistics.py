"""What a slice has to know of the volume it was cut from."""

from __future__ import annotations

from functools import cached_property

import numpy as np


class VolumeStatistics:
    """Intensities of a whole volume, of its non-zero voxels; found when they are asked for, as few recipes do.

    Args:
        voxels: An array of any shape.
    """

    def __init__(self, voxels: np.ndarray) -> None:
        self._voxels = voxels

    @property
    def maximum(self) -> float:
        """The largest value."""
        return self._found[0]

    @property
    def foreground_mean(self) -> float:
        """Mean of the voxels that are not zero."""
        return self._found[1]

    @property
    def foreground_deviation(self) -> float:
        """Their standard deviation, of the population."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[float, float, float]:
        """All of them; 0 where every voxel is 0."""
        values = self._voxels[self._voxels != 0].astype(np.float64)
        if not values.size:
            return 0.0, 0.0, 0.0
        return float(values.max()), float(values.mean()), float(values.std())
