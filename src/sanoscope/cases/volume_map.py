"""Maps of slices as one volume again, on the grid of the file that was sliced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.case import AXES
from sanoscope.cases.grid import displayed
from sanoscope.cases.volume_files import read_grid
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header, Nifti1Image


def volume_of_maps(source: Path, slices: Mapping[int, np.ndarray], axis: str) -> np.ndarray:
    """The maps of slices as voxels ``(I, J, K)`` float32 in the order of the source's own axes.

    Args:
        source: The volume that was sliced.
        slices: By index of the slice, its map ``(H, W)`` as the slice is displayed; the rest becomes 0.
        axis: Which way it was sliced.

    Raises:
        ImageError: The source cannot be read, has no such slice, or a map is not of its slices' size.
    """
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
    return voxels


def volume_map(source: Path, slices: Mapping[int, np.ndarray], axis: str) -> Nifti1Image:
    """A float32 NIfTI volume with the source's shape, affine, orientation, spacing and units.

    Args:
        source: The volume that was sliced, of any kind.
        slices: See ``volume_of_maps``.
        axis: Likewise.

    Raises:
        ImageError: As ``volume_of_maps``.
    """
    from nibabel.nifti1 import Nifti1Header, Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    voxels, grid = volume_of_maps(source, slices, axis), read_grid(source)
    header = _millimetres(Nifti1Header()) if grid.header is None else grid.header.copy()
    header.set_data_dtype(np.float32)
    header["cal_min"] = header["cal_max"] = 0  # the window that the source is looked at with
    header["vox_offset"] = 0  # whatever stood between header and voxels is not copied
    kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    if grid.header is None:
        return kind(voxels, grid.affine, header)
    return kind(voxels.reshape(header.get_data_shape(), order="F"), header.get_best_affine(), header)


def _millimetres(header: Nifti1Header) -> Nifti1Header:
    header.set_xyzt_units("mm")
    return header
