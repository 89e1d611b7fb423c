"""FreeSurfer's volumes, ``.mgh`` and compressed ``.mgz``.

Format: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat. A header that gives no position (its
``goodRASFlag`` is 0) means FreeSurfer's coronal standard.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.compression import beginning
from sanoscope.cases.grid import Grid
from sanoscope.cases.raw_voxels import raw_voxels
from sanoscope.cases.suffixes import suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.freesurfer.mghformat import MGHHeader

SUFFIXES = (".mgh", ".mgz")
HEADER = 90  # bytes with a meaning; voxels follow at 284
VERSION = 1
GOOD_POSITION = slice(28, 30)  # the flag that the header tells directions and position
CORONAL = ((-1, 0, 0), (0, 0, -1), (0, 1, 0))  # columns to the left, rows to the feet, slices to the front


def grid_of(path: Path) -> Grid:
    """The grid of a file, from its first bytes alone.

    Raises:
        ImageError: As ``read``, as far as the header tells.
    """
    with path.open("rb") as stream:
        return _parse(beginning(stream, HEADER, SUFFIXES, _is_compressed(path)))[0]


def read(path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
    """The voxels of a file.

    Raises:
        ImageError: The file is truncated, no MGH file or too large, has more than three dimensions, holds NaN or
            infinity, or its directions are not three.
    """
    content = contents[path] if contents else path.read_bytes()
    compressed = _is_compressed(path)
    grid, header = _parse(beginning(BytesIO(content), HEADER, SUFFIXES, compressed))
    data_type = np.dtype(header.get_data_dtype())
    return Volume.of(grid, raw_voxels(content, grid.shape, data_type, header.get_data_offset(), compressed))


def files_behind(path: Path) -> tuple[Path, ...]:
    """The file itself."""
    return (path,)


def _is_compressed(path: Path) -> bool:
    return suffix_of(path) == ".mgz"


def _parse(block: bytes) -> tuple[Grid, MGHHeader]:
    """The grid that a header describes, checked before anything is allocated, and the header."""
    from nibabel.freesurfer.mghformat import MGHHeader, data_type_codes

    if len(block) < HEADER:
        raise ImageError("the file is truncated")
    header = MGHHeader(block, check=False)
    if not any(block[GOOD_POSITION]):
        header["Mdc"] = CORONAL  # nibabel takes its transpose
    if header["version"] != VERSION:
        raise ImageError("the content is no MGH file of version 1; convert it to one")
    if int(header["type"]) not in data_type_codes.code:
        raise ImageError(f"voxels of MGH type {header['type']} are not read; convert them with mri_convert")
    shape = [int(n) for n in header["dims"]]
    if min(shape) < 1:
        raise ImageError(f"the header tells the shape {tuple(shape)}; check that the file is whole")
    if shape[3] > 1:
        raise ImageError(f"has 4 dimensions, of shape {tuple(shape)}; save each volume of it as a file")
    with np.errstate(all="ignore"):  # what comes of absurd numbers is refused
        affine = np.asarray(header.get_affine(), float)
        return Grid.of(shape[:3], affine), header
