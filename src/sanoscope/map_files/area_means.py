"""Means over areas between grids whose lines lie anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from sanoscope.preparation.scratch import scratch_array

# Rows of the new grid that are computed at a time.
BAND = 256


@dataclass(frozen=True)
class Lines:
    """The lines of a grid, in pixels of level 0.

    Attributes:
        rows: ``(H + 1,)``, the upper edge of each row and the lower one of the last, ascending.
        columns: ``(W + 1,)``, likewise from left to right.
    """

    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def of_reduction(cls, width: int, height: int, reduction: int) -> Lines:
        """Of squares over a slide; those of the last row and column are cut off at its edge."""
        rows, columns = (
            np.minimum(np.arange(-(-length // reduction) + 1) * reduction, length) for length in (height, width)
        )
        return cls(rows, columns)

    @classmethod
    def of_parts(cls, x: float, y: float, width: float, height: float, shape: tuple[int, int]) -> Lines:
        """Of a rectangle that is cut into ``(H, W)`` parts of equal size."""
        # The last line has to be exact: beyond it, however little, lies a pixel of which nothing is known.
        return cls(np.linspace(y, y + height, shape[0] + 1), np.linspace(x, x + width, shape[1] + 1))

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)``."""
        return self.rows.size - 1, self.columns.size - 1

    def around(self, other: Lines) -> tuple[slice, slice]:
        """The rows and columns that another grid reaches into."""
        return _around(self.rows, other.rows), _around(self.columns, other.columns)

    def part(self, rows: slice, columns: slice) -> Lines:
        """Of some of the rows and columns."""
        return Lines(self.rows[rows.start : rows.stop + 1], self.columns[columns.start : columns.stop + 1])


def _around(lines: np.ndarray, other: np.ndarray) -> slice:
    first = np.searchsorted(lines, other[0], "right") - 1
    last = np.searchsorted(lines, other[-1], "left")
    return slice(*np.clip((first, last), 0, lines.size - 1).tolist())


def area_sums(values: np.ndarray, old: Lines, new: Lines) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel, the sum of the values it covers times the areas that it covers of them, and those areas.

    Args:
        values: ``(H, W)`` on the old grid.
        old: Its lines.
        new: Lines of ``(h, w)`` pixels.

    Returns:
        ``(h, w)`` float64 each; 0 where the grids do not meet.
    """
    rows, columns = _shared(old.rows, new.rows), _shared(old.columns, new.columns)
    sums = (columns @ (rows @ values).T).T
    return sums, np.outer(rows.sum(axis=1), columns.sum(axis=1))


def area_means(values: np.ndarray, old: Lines, new: Lines) -> np.ndarray:
    """The mean of what each new pixel covers, ``(h, w)`` float32, in a temporary file and computed band by band.

    Args:
        values: ``(H, W)`` on the old grid, which reaches over the new one.
        old: Its lines.
        new: Lines of ``(h, w)`` pixels.
    """
    height, width = new.shape
    means = scratch_array((height, width), np.float32)
    for top in range(0, height, BAND):
        band = slice(top, min(top + BAND, height))
        lines = new.part(band, slice(0, width))
        rows, columns = old.around(lines)
        sums, areas = area_sums(values[rows, columns], old.part(rows, columns), lines)
        means[band] = sums / areas
    return means


def _shared(old: np.ndarray, new: np.ndarray) -> csr_array:
    """How much of each new interval lies in each old one, ``(new, old)``, by the lines between them."""
    lines = np.union1d(old, new)
    middles = (lines[1:] + lines[:-1]) / 2
    of_new, of_old = np.searchsorted(new, middles) - 1, np.searchsorted(old, middles) - 1
    inside = (of_new >= 0) & (of_new < new.size - 1) & (of_old >= 0) & (of_old < old.size - 1)
    lengths = np.diff(lines)[inside]
    return csr_array((lengths, (of_new[inside], of_old[inside])), shape=(new.size - 1, old.size - 1))
