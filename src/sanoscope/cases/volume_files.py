"""Files of many slices, whatever their kind: their grids and voxels, chosen by what the path names.

A DICOM series is a volume of many files; the path of any of them stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from sanoscope.cases.grid import Grid, naming
from sanoscope.cases.suffixes import suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.errors import ImageError


class VolumeFormat(Protocol):
    """What the module of each format offers. All raise ``ImageError``, and bytes are read where none are given."""

    def grid_of(self, path: Path) -> Grid:
        """The grid of a volume, from headers alone."""

    def read(self, path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
        """Its voxels; ``contents`` are the bytes of its files where they have been read already."""

    def files_behind(self, path: Path) -> tuple[Path, ...]:
        """All files of the volume that a path names."""


_MODULES = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".mgz": "mgh",
    ".mgh": "mgh",
    ".npy": "array_files",
    ".npz": "array_files",
}


def _format_of(path: Path) -> VolumeFormat:
    """The module that reads a volume; of no other suffix there are volumes but DICOM's, which has any or none."""
    module = _MODULES.get(suffix_of(path), "dicom_series")
    return cast(VolumeFormat, import_module(f"sanoscope.cases.{module}"))


def read_volume(path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
    """The voxels of a volume.

    Args:
        path: Its file, or one of its files.
        contents: The bytes of all its files where they have been read already.

    Raises:
        ImageError: A file is missing, truncated, damaged, of another kind than its name says, or too large; it has
            more than three dimensions, holds NaN, infinity or no plain numbers, or does not say how it lies.
    """
    with naming(path):
        return _format_of(path).read(path, contents)


def recent_volume(path: Path) -> Volume:
    """As ``read_volume``; the last one is kept, for the slices that are asked for one by one.

    Raises:
        ImageError: As ``read_volume``.
    """
    with naming(path):
        return _recent(path, _changed(path))


@lru_cache(maxsize=1)
def _recent(path: Path, _changed: int) -> Volume:
    return read_volume(path)


def read_grid(path: Path) -> Grid:
    """The grid of a volume, from headers alone.

    Raises:
        ImageError: As ``read_volume``, as far as headers tell.
    """
    with naming(path):
        return _grid(path, _changed(path))


@lru_cache(maxsize=4096)
def _grid(path: Path, _changed: int) -> Grid:
    return _format_of(path).grid_of(path)


def _changed(path: Path) -> int:
    """When a volume last changed; a series changes with its folder."""
    alone = suffix_of(path) in _MODULES
    return max(place.stat().st_mtime_ns for place in ((path,) if alone else (path, path.parent)))


def files_behind(path: Path) -> tuple[Path, ...]:
    """All files of the volume that a path names, in order.

    Raises:
        ImageError: They cannot be found.
    """
    with naming(path):
        return _format_of(path).files_behind(path)


def require_same_grid(image: Path, other: Path) -> None:
    """Refuse a mask that does not lie on its image voxel by voxel; the order of axes in the files may differ.

    Raises:
        ImageError: Shapes differ, or places by half a voxel or more; both files are named.
    """
    grid, beside = read_grid(image), read_grid(other)
    if grid.canonical_shape != beside.canonical_shape:
        shapes = " × ".join(map(str, beside.canonical_shape)), " × ".join(map(str, grid.canonical_shape))
        raise ImageError(f"{other}: has {shapes[0]} voxels where {image} has {shapes[1]}; give it the same grid")
    apart = np.linalg.norm(grid.corners - beside.corners, axis=1).max()
    if apart >= 0.5 * np.linalg.norm(grid.affine[:3, :3], axis=0).min():
        raise ImageError(f"{other}: lies {apart:.3g} mm away from {image}; resample it, or give it the same affine")
