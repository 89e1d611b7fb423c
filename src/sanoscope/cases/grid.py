"""How voxels lie in the patient, and how slices of them are shown.

Whatever order and direction a file's axes have, voxels are handed out in canonical order, towards the patient's
right, front and head (nibabel's RAS+), and slices as radiologists look at them:

- axial: rows from front to back, columns from the patient's right to the left (image left is patient right);
- coronal: rows from head to feet, columns from right to left;
- sagittal: rows from head to feet, columns from front to back.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.case import AXES
from sanoscope.cases.limits import LARGEST_BYTES, MOST_SLICES
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a file.

    Attributes:
        shape: ``(I, J, K)`` in the file's own order.
        affine: ``(4, 4)``, from voxel indices to millimetres towards right, front and head.
        orientation: ``(3, 2)``, for each axis of the file its canonical axis and 1 or -1 for its direction.
        header: As stored, of a NIfTI file.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    orientation: np.ndarray
    header: Nifti1Header | None = None

    @classmethod
    def of(cls, shape: Sequence[int], affine: np.ndarray, header: Nifti1Header | None = None) -> Grid:
        """The grid of a shape and an affine.

        Raises:
            ImageError: The affine does not tell three directions, or there are too many voxels or slices.
        """
        first, second, third = shape
        if max(shape) > MOST_SLICES or prod(shape) > LARGEST_BYTES:
            bounds = f"{MOST_SLICES} along an axis and {LARGEST_BYTES} in all"
            raise ImageError(f"{tuple(shape)} voxels are more than the limits of {bounds}; cut it")
        return cls((first, second, third), affine, _orientation(affine), header)

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
    """The view of a canonical array ``(X, Y, Z[, C])`` that is one slice, ``(H, W[, C])``, as it is displayed."""
    place: list[slice | int] = [slice(None)] * 3
    place[AXES[axis]] = index
    return np.flip(voxels[tuple(place)], (0, 1)).swapaxes(0, 1)


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


def _orientation(affine: np.ndarray) -> np.ndarray:
    from nibabel.orientations import io_orientation

    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        rows = "; ".join(" ".join(f"{value:g}" for value in row[:3]) for row in affine[:3])
        raise ImageError(f"its affine ({rows}) does not tell three directions; mend the header")
    return np.asarray(io_orientation(affine)).astype(int)
