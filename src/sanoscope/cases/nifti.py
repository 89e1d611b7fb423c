"""NIfTI-1 and NIfTI-2 volumes (``.nii``, ``.nii.gz``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.compression import beginning
from sanoscope.cases.grid import Grid
from sanoscope.cases.raw_voxels import raw_voxels
from sanoscope.cases.suffixes import suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

# By the size that a header gives itself, in bytes.
NIFTI_1, NIFTI_2 = 348, 540
SUFFIXES = (".nii", ".nii.gz")


def grid_of(path: Path) -> Grid:
    """The grid of a file, from its first bytes alone.

    Raises:
        ImageError: As ``read``, as far as the header tells.
    """
    with path.open("rb") as stream:
        return _parse(beginning(stream, NIFTI_2, SUFFIXES, _is_compressed(path)))[0]


def read(path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
    """The voxels of a file.

    Raises:
        ImageError: The file is truncated, no NIfTI file or too large, has more than three dimensions, holds NaN,
            infinity or no plain numbers, or does not say how it lies in the patient.
    """
    content = contents[path] if contents else path.read_bytes()
    compressed = _is_compressed(path)
    grid, header = _parse(beginning(BytesIO(content), NIFTI_2, SUFFIXES, compressed))
    begins = header.get_data_offset()
    if begins < header.sizeof_hdr:
        raise ImageError("the header says that voxels begin inside it; check that the file is whole")
    data_type: np.dtype[Any] = np.dtype(header.get_data_dtype())
    stored = raw_voxels(content, grid.shape, data_type, begins, compressed)
    return Volume.of(grid, _values(stored, header))


def files_behind(path: Path) -> tuple[Path, ...]:
    """The file itself."""
    return (path,)


def _is_compressed(path: Path) -> bool:
    return suffix_of(path).endswith(".gz")


def _parse(block: bytes) -> tuple[Grid, Nifti1Header]:
    """The grid that a header describes, checked before anything is allocated, and the header.

    nibabel's own checks are left out, as they write to the log and mend what should be refused.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    kinds = {NIFTI_1: Nifti1Header, NIFTI_2: Nifti2Header}
    for order in "<>":
        size = struct.unpack(f"{order}i", block[:4])[0] if len(block) >= 4 else 0
        if size in kinds:
            break
    else:
        raise ImageError("the content is no NIfTI file; convert it to one")
    if len(block) < size:
        raise ImageError("the file is truncated")
    header = kinds[size](block[:size], order, check=False)
    if not bytes(header["magic"].item()).startswith(b"n+"):
        raise ImageError("voxels and header are not in one file; save them as one NIfTI file")
    shape = _three(header)
    with np.errstate(all="ignore"):  # what comes of absurd numbers is refused
        affine = np.asarray(header.get_best_affine(), float)
        return Grid.of(shape, affine, header), header


def _three(header: Nifti1Header) -> tuple[int, int, int]:
    """The shape as three numbers; further axes of length 1 do not count."""
    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise ImageError(f"the header tells {dimensions} dimensions; check that the file is whole")
    shape = [int(n) for n in header.get_data_shape()]
    if min(shape) < 1:
        raise ImageError(f"the header tells the shape {tuple(shape)}; check that the file is whole")
    shape += [1] * (3 - len(shape))
    if prod(shape[3:]) > 1:
        raise ImageError(f"has {len(shape)} dimensions, of shape {tuple(shape)}; save each volume of it as a file")
    return shape[0], shape[1], shape[2]


def _values(stored: np.ndarray, header: Nifti1Header) -> np.ndarray:
    """What the stored numbers stand for."""
    from nibabel.volumeutils import apply_read_scaling

    return np.asarray(apply_read_scaling(stored, *header.get_slope_inter()))
