"""The binary version of CIFAR-10: ``data_batch_1.bin`` to ``data_batch_5.bin``, ``test_batch.bin``.

Krizhevsky: Learning multiple layers of features from tiny images, 2009. A record is one byte for the class, and the
red, the green and the blue plane of 32 × 32 bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.layouts.arrays import Side, cases_of_arrays
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError

name = "cifar10-binary"

PLANES = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
CLASSES_FILE = "batches.meta.txt"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# What the archive of the Python version holds, and what it is unpacked to.
PICKLES = ("data_batch_1", "test_batch", "cifar-10-batches-py")


def recognises(path: Path) -> bool:
    """A folder with one of the files; or with those of the Python version, so that ``read`` can refuse it by name."""
    return _is_binary(path) or any((path / file).exists() for file in PICKLES)


def _is_binary(path: Path) -> bool:
    return any((path / file).is_file() for files in FILES.values() for file in files)


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images of both sides, in memory; the group is the class, and ``normal`` is needed.

    Raises:
        DataError: A file is missing or damaged, the version is the Python one, or ``normal`` is not given.
        OptionError: ``normal`` is none of the classes.
    """
    if not _is_binary(path):
        raise DataError(
            f"{path}: is the Python version of CIFAR-10, whose files are pickles and never opened; "
            "download the binary version"
        )
    classes = _classes(path / CLASSES_FILE)
    sides = {split: _side([path / file for file in files], classes) for split, files in FILES.items()}
    return cases_of_arrays(sides, normal, path, name)


def _classes(file: Path) -> tuple[str, ...]:
    """The names of the classes in the order of their numbers; the known ones where there is no file."""
    if not file.is_file():
        return CLASSES
    named = tuple(_content(file).decode(errors="replace").split())
    if len(set(named)) != len(CLASSES):
        raise DataError(f"{file}: names {len(set(named))} classes, not 10; remove it to take the known ones")
    return named


def _side(files: list[Path], classes: tuple[str, ...]) -> Side:
    records = np.concatenate([_records(file) for file in files])
    images = records[:, 1:].reshape(-1, *PLANES).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), [classes[number] for number in records[:, 0]]


def _records(file: Path) -> np.ndarray:
    """The records of a file, ``(N, 3073)`` uint8."""
    content = _content(file)
    if not content or len(content) % RECORD:
        raise DataError(f"{file}: has {len(content)} bytes, not whole records of {RECORD}; download it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if (greatest := records[:, 0].max()) >= len(CLASSES):
        raise DataError(f"{file}: holds the class {greatest}, above {len(CLASSES) - 1}; download it again")
    return records


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}); download it again") from error
