"""How the voxels of a NIfTI file lie in the patient, as its header tells.

Whatever order and direction a file's axes have, voxels are handed out in canonical order, towards the patient's
right, front and head (nibabel's RAS+), and slices as radiologists look at them:

- axial: rows from front to back, columns from the patient's right to the left (image left is patient right);
- coronal: rows from head to feet, columns from right to left;
- sagittal: rows from head to feet, columns from front to back.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from sanoscope.cases.case import AXES
from sanoscope.cases.readers import suffix_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

GZIP_MAGIC = b"\x1f\x8b"
# By the size that a header gives itself, in bytes.
NIFTI_1, NIFTI_2 = 348, 540


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a file.

    Attributes:
        header: As stored.
        shape: ``(I, J, K)`` in the file's own order.
        affine: ``(4, 4)``, from voxel indices to millimetres towards right, front and head.
        orientation: ``(3, 2)``, for each axis of the file its canonical axis and 1 or -1 for its direction.
    """

    header: Nifti1Header
    shape: tuple[int, int, int]
    affine: np.ndarray
    orientation: np.ndarray

    def canonical(self, stored: np.ndarray) -> np.ndarray:
        """A view ``(X, Y, Z)`` in canonical order of an array ``(I, J, K)``; writing to it writes to the array."""
        from nibabel.orientations import apply_orientation

        return np.asarray(apply_orientation(stored, self.orientation))

    @cached_property
    def canonical_shape(self) -> tuple[int, ...]:
        """``(X, Y, Z)``."""
        return tuple(self.shape[axis] for axis in np.argsort(self.orientation[:, 0]))

    @cached_property
    def corners(self) -> np.ndarray:
        """Where the first and the last voxels along each canonical axis are, ``(8, 3)`` in millimetres."""
        from nibabel.orientations import inv_ornt_aff

        affine = self.affine @ inv_ornt_aff(self.orientation, self.shape)
        last = np.array(self.canonical_shape) - 1
        ends = np.array(list(np.ndindex(2, 2, 2))) * last
        return np.asarray(ends @ affine[:3, :3].T + affine[:3, 3])

    def size(self, axis: str) -> tuple[int, int]:
        """Height and width of a slice across an axis, as it is displayed."""
        width, height = (n for number, n in enumerate(self.canonical_shape) if number != AXES[axis])
        return height, width


def displayed(voxels: np.ndarray, axis: str, index: int) -> np.ndarray:
    """The view of a canonical array that is one slice, ``(H, W)``, as it is displayed."""
    place: list[slice | int] = [slice(None)] * 3
    place[AXES[axis]] = index
    return np.flip(voxels[tuple(place)]).T


def read_grid(path: Path) -> Grid:
    """The grid of a file, from its first bytes alone.

    Raises:
        ImageError: As ``read_volume``, as far as the header tells.
    """
    with naming(path):
        return _grid(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _grid(path: Path, _changed: int) -> Grid:
    with path.open("rb") as stream:
        return parse(beginning(stream, path))


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Every kind of error that a broken file causes as one that names the file."""
    try:
        yield
    except ImageError as error:
        message = str(error)
        raise ImageError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error
    except (EOFError, zlib.error) as error:
        raise ImageError(f"{path}: the file is truncated or damaged ({error}); copy it again") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    except Exception as error:  # nibabel meets broken headers with every kind of exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be decoded ({reason}); check that the file is whole") from error


def beginning(stream: IO[bytes], path: Path) -> bytes:
    """The first bytes of a file, decompressed: the header and perhaps more."""
    compressed = suffix_of(path).endswith(".gz")
    begin = stream.read(len(GZIP_MAGIC))
    if not begin:
        raise ImageError("the file is empty")
    if (begin == GZIP_MAGIC) != compressed:
        kind = ".nii" if compressed else ".nii.gz"
        raise ImageError(f"the content is not compressed as its name says; give it the suffix {kind}")
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream).read(NIFTI_2) if compressed else stream.read(NIFTI_2)


def parse(block: bytes) -> Grid:
    """The grid that a header describes, checked before anything is allocated.

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
        return Grid(header, shape, affine, _orientation(affine))


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


def _orientation(affine: np.ndarray) -> np.ndarray:
    from nibabel.orientations import io_orientation

    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        rows = "; ".join(" ".join(f"{value:g}" for value in row[:3]) for row in affine[:3])
        raise ImageError(f"its affine ({rows}) does not tell three directions; set the sform or qform of the header")
    return np.asarray(io_orientation(affine)).astype(int)
