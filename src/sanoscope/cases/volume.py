"""A volume in memory, whatever kind of file it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.cases.case import AXES, VolumeSlice
from sanoscope.cases.grid import Grid, displayed
from sanoscope.errors import ImageError


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume in memory.

    Attributes:
        grid: Of its file.
        voxels: ``(X, Y, Z)`` in canonical order, ``(X, Y, Z, 3)`` in colour; integers as stored, or float32 where they
            are scaled or floats.
    """

    grid: Grid
    voxels: np.ndarray

    @classmethod
    def of(cls, grid: Grid, stored: np.ndarray) -> Volume:
        """A volume of voxels ``(I, J, K[, C])`` in their file's own order.

        Raises:
            ImageError: They hold NaN or infinity.
        """
        return cls(grid, grid.canonical(plain(stored)))

    def slice(self, where: VolumeSlice) -> np.ndarray:
        """One slice ``(H, W[, C])`` as it is displayed, a copy.

        Raises:
            ImageError: The volume has no such slice.
        """
        count = self.grid.canonical_shape[AXES[where.axis]]
        if not 0 <= where.index < count:
            raise ImageError(f"has {count} {where.axis} slices, so there is no slice {where.index}")
        return np.array(displayed(self.voxels, where.axis, where.index), order="C")


def plain(values: np.ndarray) -> np.ndarray:
    """Integers in this machine's byte order, every kind of float as float32.

    Raises:
        ImageError: There is NaN or infinity.
    """
    if values.dtype.kind != "f":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # what overflows is refused below
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ImageError("it holds NaN or infinity; replace these values")
    return values
