"""Arrays saved by NumPy, ``.npy`` and ``.npz``, as images and as volumes.

``(H, W)``, or ``(H, W, C)`` with at most 4 channels, is an image. Any other array of three axes is a volume
``(N, H, W)`` of N axial slices, shown as they are stored: it has no geometry of its own, and a spacing of 1 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np

from sanoscope.cases.grid import Grid
from sanoscope.cases.limits import LARGEST_BYTES, LARGEST_IMAGE_BYTES
from sanoscope.cases.npy import SUFFIXES, ArrayFile
from sanoscope.cases.raster import check_size
from sanoscope.cases.suffixes import suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.errors import ImageError

MOST_CHANNELS = 4
NAMES = ("image", "images")  # which of several arrays is meant
# Columns go to the patient's left and rows to the back, as in an axial slice of DICOM that says nothing else.
AXIAL = np.diag([-1.0, -1.0, 1.0, 1.0])


def is_stack(path: Path) -> bool:
    """Whether a file is a volume by its header; what cannot be read is none, and reading it says why."""
    return suffix_of(path) in SUFFIXES and len(_shape_or_none(path)) == 3 and not is_image(path)


def is_image(path: Path) -> bool:
    """Whether a file is one image by its header."""
    return suffix_of(path) in SUFFIXES and _is_image(_shape_or_none(path))


def read_npy(content: bytes) -> np.ndarray:
    """The image in a ``.npy``, ``(H, W)`` or ``(H, W, C)``, in the type it is stored in.

    Raises:
        ImageError: It is truncated, no array of numbers, of another shape, or larger than the limit.
    """
    return _read_image(BytesIO(content), ".npy")


def read_npz(content: bytes) -> np.ndarray:
    """The image in a ``.npz``: its one array, or the one called ``image`` or ``images``.

    Raises:
        ImageError: As ``read_npy``, or it has several arrays of other names.
    """
    return _read_image(BytesIO(content), ".npz")


def grid_of(path: Path) -> Grid:
    """The grid of a stack, from its header alone.

    Raises:
        ImageError: As ``read``, as far as the header tells.
    """
    with path.open("rb") as stream:
        return _grid(_shape(stream, suffix_of(path)))


def read(path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
    """The voxels of a stack.

    Raises:
        ImageError: It is truncated, no array of numbers, no stack, larger than the limit, or holds NaN or infinity.
    """
    content = contents[path] if contents else path.read_bytes()
    file = ArrayFile(BytesIO(content), suffix_of(path))
    name = chosen(file)
    grid = _grid(file.header(name).shape)
    stored = file.read(name, LARGEST_BYTES)
    return Volume.of(grid, (stored * np.uint8(255) if stored.dtype.kind == "b" else stored).T)


def files_behind(path: Path) -> tuple[Path, ...]:
    """The file itself."""
    return (path,)


def chosen(file: ArrayFile) -> str:
    """The name of the array that is meant.

    Raises:
        ImageError: There is none, or there are several and none has the name of an image.
    """
    if len(file.names) == 1:
        return file.names[0]
    named = [name for name in NAMES if name in file.names]
    if len(named) != 1:
        raise ImageError(f"it should have one array, or one called image or images, not these: {file.listing}")
    return named[0]


def _read_image(stream: IO[bytes], suffix: str) -> np.ndarray:
    file = ArrayFile(stream, suffix)
    name = chosen(file)
    shape = file.header(name).shape
    if not _is_image(shape):
        mend = "save each image as a file, or give this file itself as the data"
        raise ImageError(f"an array of shape {shape} is no image (height, width[, up to 4 channels]); {mend}")
    check_size(shape[1], shape[0])
    return file.read(name, LARGEST_IMAGE_BYTES)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] <= MOST_CHANNELS)


def _shape(stream: IO[bytes], suffix: str) -> tuple[int, ...]:
    file = ArrayFile(stream, suffix)
    return file.header(chosen(file)).shape


def _shape_or_none(path: Path) -> tuple[int, ...]:
    """The shape of an array, empty where it cannot be told."""
    try:
        with path.open("rb") as stream:
            return _shape(stream, suffix_of(path))
    except Exception:  # broken headers and archives raise every kind of exception
        return ()


def _grid(shape: tuple[int, ...]) -> Grid:
    if len(shape) != 3 or _is_image(shape):
        raise ImageError(f"an array of shape {shape} is no stack of slices (slices, height, width)")
    return Grid.of(shape[::-1], AXIAL)
