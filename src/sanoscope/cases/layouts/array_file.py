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

MOST_IMAGES = 2**22  # PatchCamelyon, the largest collection in one file, has a twelfth of it


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
            count = images_in(file, chosen(file))
            labels, subjects = (_beside(file, what, count) for what in ("labels", "subjects"))
            images = file.read(chosen(file), LARGEST_BYTES)
    except ImageError as error:
        raise DataError(str(error)) from error
    try:
        cases = cases_of_array(images, labels, subjects, normal)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return Cases(cases, str(path), name)


def images_in(file: ArrayFile, array: str) -> int:
    """How many images an array of a file has, each of which becomes a case.

    Raises:
        ImageError: There are more than ``MOST_IMAGES``.
    """
    count = (*file.header(array).shape, 1)[0]
    if count > MOST_IMAGES:
        raise ImageError(f"{count} images are more than the limit of {MOST_IMAGES} in one file; save it in parts")
    return count


def _beside(file: ArrayFile, what: str, images: int) -> list[object] | None:
    """What a file says of each image, None where it does not."""
    if what not in file.names:
        return None
    shape = file.header(what, NUMBERS + TEXTS).shape
    if shape != (images,):
        raise ImageError(f"{what} of shape {shape} for {images} images; give one for each")
    values: list[object] = file.read(what, LARGEST_BYTES, NUMBERS + TEXTS).tolist()
    return values
