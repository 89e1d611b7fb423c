"""The cropped digits of SVHN: ``train_32x32.mat`` and ``test_32x32.mat``, files of MATLAB 5.

Netzer et al.: Reading digits in natural images with unsupervised feature learning, 2011.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.layouts.arrays import Side, cases_of_arrays
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError

name = "svhn"

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
EXTRA = "extra_32x32.mat"  # easier images, on neither side of the protocol
SHAPE = (32, 32, 3)
MEND = "download the original file, or save X and y with MATLAB's option -v7"


def recognises(path: Path) -> bool:
    """A folder with the training or the test file."""
    return any((path / file).is_file() for file in FILES.values())


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images of the files there are, in memory; the group is the digit, and ``normal`` is needed.

    Raises:
        DataError: A file is damaged or of another format, or ``normal`` is not given.
        OptionError: ``normal`` is none of the digits.
    """
    if normal is None:  # 0 would pass for a normal group
        raise DataError(f"{path}: which digit is normal? say it with normal='0', or another from 0 to 9")
    sides = {split: _side(path / file) for split, file in FILES.items() if (path / file).is_file()}
    notes = [f"{EXTRA} is not used"] if (path / EXTRA).is_file() else []
    return cases_of_arrays(sides, normal, path, name, notes)


def _side(file: Path) -> Side:
    images, numbers = _arrays(file)
    count = numbers.size
    if images.shape != (*SHAPE, count) or images.dtype != np.uint8 or not count:
        found = f"{images.dtype} of shape {images.shape} for {count} digits"
        raise DataError(f"{file}: X is {found}, not uint8 of shape (32, 32, 3, N); {MEND}")
    if numbers.dtype.kind not in "uif" or not np.isin(numbers, np.arange(1, 11)).all():
        raise DataError(f"{file}: y holds other than the numbers 1 to 10, which is the digit 0; {MEND}")
    digits = numbers.ravel().astype(int) % 10
    return np.ascontiguousarray(np.moveaxis(images, 3, 0)), [str(digit) for digit in digits]


def _arrays(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """``X`` and ``y``; nothing else in the file is read."""
    from scipy.io import loadmat

    try:
        found = loadmat(file, variable_names=("X", "y"))
    except NotImplementedError as error:  # HDF5, which MATLAB writes from 7.3 on
        raise DataError(f"{file}: is of MATLAB 7.3, which is not read; {MEND}") from error
    except Exception as error:  # a damaged file raises errors of zlib, struct, numpy and scipy
        raise DataError(f"{file}: cannot be read as .mat ({' '.join(str(error).split())}); {MEND}") from error
    if missing := {"X", "y"} - found.keys():
        raise DataError(f"{file}: holds no {' and no '.join(sorted(missing))}; {MEND}")
    return found["X"], found["y"]
