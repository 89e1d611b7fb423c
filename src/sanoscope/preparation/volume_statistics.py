"""What a slice has to know of the volume it was cut from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VolumeStatistics:
    """Intensities of a whole volume, of its non-zero voxels.

    Attributes:
        maximum: The largest value.
        foreground_mean: Mean of the voxels that are not zero.
        foreground_deviation: Their standard deviation, of the population.
    """

    maximum: float
    foreground_mean: float
    foreground_deviation: float

    @classmethod
    def of(cls, volume: np.ndarray) -> VolumeStatistics:
        """The statistics of an array of any shape; all 0 where every voxel is 0."""
        values = volume[volume != 0].astype(np.float64)
        if not values.size:
            return cls(0.0, 0.0, 0.0)
        return cls(float(values.max()), float(values.mean()), float(values.std()))
