"""NIfTI-1 and NIfTI-2 volumes (``.nii``, ``.nii.gz``): their slices, and maps of these as a volume again."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import AXES, VolumeSlice
from sanoscope.cases.grid import Grid, beginning, displayed, naming, parse, read_grid
from sanoscope.cases.readers import suffix_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

# Bytes of voxels in a file: a CT of 1024³ voxels has half of it, a damaged header would have any number.
LARGEST_BYTES = 4 * 2**30
# Deflate cannot make anything smaller than this (zlib's technical details), so that a small file cannot hold more.
SMALLEST_RATIO = 1032


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume in memory.

    Attributes:
        grid: Of its file.
        voxels: ``(X, Y, Z)`` in canonical order; integers as stored, or float32 where they are scaled or floats.
    """

    grid: Grid
    voxels: np.ndarray

    def slice(self, where: VolumeSlice) -> np.ndarray:
        """One slice ``(H, W)`` as it is displayed, a copy.

        Raises:
            ImageError: The volume has no such slice.
        """
        count = self.grid.canonical_shape[AXES[where.axis]]
        if not 0 <= where.index < count:
            raise ImageError(f"has {count} {where.axis} slices, so there is no slice {where.index}")
        return np.array(displayed(self.voxels, where.axis, where.index), order="C")


def read_volume(path: Path, content: bytes | None = None) -> Volume:
    """The voxels of a file.

    Args:
        path: The file; its suffix says whether it is compressed.
        content: The bytes of the file where they have been read already.

    Raises:
        ImageError: The file is missing, truncated, no NIfTI file or too large, has more than three dimensions,
            holds NaN, infinity or no plain numbers, or does not say how it lies in the patient.
    """
    with naming(path):
        content = path.read_bytes() if content is None else content
        grid = parse(beginning(BytesIO(content), path))
        data_type = _data_type(grid)
        begins = grid.header.get_data_offset()
        needed = begins + prod(grid.shape) * data_type.itemsize
        compressed = suffix_of(path).endswith(".gz")
        if needed > len(content) * (SMALLEST_RATIO if compressed else 1):
            raise ImageError("the file is truncated")
        if compressed:
            content = _decompressed(content, needed)
        stored = np.frombuffer(content, data_type, prod(grid.shape), begins).reshape(grid.shape, order="F")
        return Volume(grid, grid.canonical(_values(stored, grid)))


def recent_volume(path: Path) -> Volume:
    """As ``read_volume``; the last one is kept, for the slices that are asked for one by one.

    Raises:
        ImageError: As ``read_volume``.
    """
    with naming(path):
        return _recent(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _recent(path: Path, _changed: int) -> Volume:
    return read_volume(path)


def volume_map(source: Path, slices: Mapping[int, np.ndarray], axis: str) -> Nifti1Image:
    """A float32 volume with the source's shape, affine, orientation, spacing and units.

    Args:
        source: The volume that was sliced.
        slices: By index of the slice, its map ``(H, W)`` as the slice is displayed; the rest becomes 0.
        axis: Which way it was sliced.

    Raises:
        ImageError: The source cannot be read, has no such slice, or a map is not of its slices' size.
    """
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    grid = read_grid(source)
    voxels = np.zeros(grid.shape, np.float32, order="F")
    canonical = grid.canonical(voxels)
    count = grid.canonical_shape[AXES[axis]]
    for index, heatmap in slices.items():
        if not 0 <= index < count:
            raise ImageError(f"{source}: has {count} {axis} slices, so there is no slice {index} to map")
        if heatmap.shape != grid.size(axis):
            wanted = " × ".join(map(str, grid.size(axis)))
            raise ImageError(f"{source}: {axis} slices are {wanted}, a map of them is not {heatmap.shape}")
        displayed(canonical, axis, index)[...] = heatmap
    header = grid.header.copy()
    header.set_data_dtype(np.float32)
    header["cal_min"] = header["cal_max"] = 0  # the window that the source is looked at with
    header["vox_offset"] = 0  # whatever stood between header and voxels is not copied
    kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    return kind(voxels.reshape(header.get_data_shape(), order="F"), header.get_best_affine(), header)


def _data_type(grid: Grid) -> np.dtype[Any]:
    """The type of the voxels as stored, where it is one that is read, in a size that is read."""
    data_type: np.dtype[Any] = np.dtype(grid.header.get_data_dtype())
    if data_type.kind not in "uif":
        raise ImageError(f"voxels of type {data_type} are not read; save one number for each")
    if grid.header.get_data_offset() < grid.header.sizeof_hdr:
        raise ImageError("the header says that voxels begin inside it; check that the file is whole")
    if prod(grid.shape) * data_type.itemsize > LARGEST_BYTES:
        raise ImageError(f"{grid.shape} voxels are more than the limit of {LARGEST_BYTES / 2**30:g} GiB; cut it")
    return data_type


def _decompressed(content: bytes, size: int) -> bytes:
    """The first bytes of what was compressed, and no more, with its checksum checked where that is all there is."""
    with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
        found = stream.read(size)
        if len(found) < size:
            raise ImageError("the file is truncated")
        stream.read(1)  # beyond the last voxel comes the checksum
    return found


def _values(stored: np.ndarray, grid: Grid) -> np.ndarray:
    """What the stored numbers stand for."""
    from nibabel.volumeutils import apply_read_scaling

    values = np.asarray(apply_read_scaling(stored, *grid.header.get_slope_inter()))
    if values.dtype.kind != "f":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # what overflows is refused below
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ImageError("it holds NaN or infinity; replace these values")
    return values
