"""The true abnormal pixels of a case, on the grid that it is displayed on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from sanoscope.cases.annotations import mask_of
from sanoscope.cases.case import AXES, Case
from sanoscope.cases.grid import displayed
from sanoscope.cases.pixels import read_case
from sanoscope.cases.readers import read_mask
from sanoscope.cases.volume_files import read_grid, read_volume, require_same_grid
from sanoscope.errors import ImageError


def true_mask(case: Case, size: tuple[int, int] | None = None) -> np.ndarray | None:
    """What is abnormal in a case, ``(H, W)`` bool.

    Args:
        case: A case with a mask, or labelled normal, which without a mask is normal everywhere.
        size: Height and width of the image, where they are known; it is read for them otherwise.

    Returns:
        The mask, or None where it is not known: without a mask, and not labelled normal.

    Raises:
        ImageError: The mask cannot be read, or is of another size than the image; both are named.
    """
    if case.mask is None and case.mask_pixels is None:
        return np.zeros(size or size_of(case), bool) if case.label == 0 else None
    if case.slice is not None and case.mask is not None:
        assert case.path is not None
        require_same_grid(case.path, case.mask)
        return np.array(displayed(_recent(case.mask, case.mask.stat().st_mtime_ns), case.slice.axis, case.slice.index))
    if case.tile is not None and case.mask is not None:
        return mask_of(case.mask, case.tile)
    mask = read_mask(case.mask) if case.mask is not None else np.asarray(case.mask_pixels) != 0
    size = size or size_of(case)
    if mask.shape != size:
        sizes = " × ".join(map(str, mask.shape)), " × ".join(map(str, size))
        raise ImageError(f"{case.mask or 'mask in memory'}: is {sizes[0]} pixels where {case} is {sizes[1]}")
    return mask


def abnormal_along(image: Path, mask: Path, axis: str) -> np.ndarray:
    """Which slices of a volume have any abnormal voxel, bool in the order of their indices.

    Raises:
        ImageError: The mask cannot be read, or is on another grid than the image; both are named.
    """
    require_same_grid(image, mask)
    others = tuple(number for number in AXES.values() if number != AXES[axis])
    return np.asarray(read_volume(mask).voxels.max(axis=others) > 0)


def size_of(case: Case) -> tuple[int, int]:
    """Height and width of a case's image, from the header where it is a slice.

    Raises:
        ImageError: The image cannot be read.
    """
    if case.slice is not None and case.path is not None:
        return read_grid(case.path).size(case.slice.axis)
    if case.tile is not None:
        return case.tile.size, case.tile.size
    height, width = read_case(case).shape[:2]
    return height, width


@lru_cache(maxsize=1)
def _recent(path: Path, _changed: int) -> np.ndarray:
    """Abnormal voxels in canonical order; slices of one volume are asked for one after the other."""
    return np.asarray(read_volume(path).voxels > 0)
