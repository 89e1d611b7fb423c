"""Images in one array of a ``.npy`` or ``.npz``, ``(N, H, W)`` or ``(N, H, W, C)``, as the Python API takes them.

A ``.npz`` may hold ``labels`` and ``subjects`` beside ``images``, one for each image. A single image
``(H, W[, C])`` is read as any other image file.
"""

from __future__ import annotations

from pathlib import Path

from sanoscope.cases.array_files import chosen, is_image
from sanoscope.cases.case import Cases
from sanoscope.cases.from_array import cases_of_array
from sanoscope.cases.grid import naming
from sanoscope.cases.limits import LARGEST_BYTES
from sanoscope.cases.npy import NUMBERS, SUFFIXES, TEXTS, ArrayFile
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.suffixes import suffix_of
from sanoscope.errors import DataError, ImageError

name = "array-file"


def recognises(path: Path) -> bool:
    """A ``.npy`` or ``.npz`` file that is not a single image."""
    return path.is_file() and suffix_of(path) in SUFFIXES and not is_image(path)


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images, in memory. Labels are 0 and 1; names of groups need ``normal``.

    Raises:
        DataError: The file is damaged, has no such array, or labels or subjects do not fit to it.
        OptionError: ``normal`` is none of the labels.
    """
    try:
        with naming(path), path.open("rb") as stream:
            file = ArrayFile(stream, suffix_of(path))
            images = file.read(chosen(file), LARGEST_BYTES)
            labels, subjects = (_beside(file, what) for what in ("labels", "subjects"))
    except ImageError as error:
        raise DataError(str(error)) from error
    try:
        cases = cases_of_array(images, labels, subjects, normal)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return Cases(cases, str(path), name)


def _beside(file: ArrayFile, what: str) -> list[object] | None:
    """What a file says of each image, None where it does not."""
    return file.read(what, LARGEST_BYTES, NUMBERS + TEXTS).tolist() if what in file.names else None
