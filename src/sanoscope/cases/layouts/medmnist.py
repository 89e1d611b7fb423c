"""An ``.npz`` of MedMNIST: arrays ``{train,val,test}_images`` and ``{train,val,test}_labels``.

Yang et al., MedMNIST v2, Scientific Data 2023.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.grid import naming
from sanoscope.cases.layouts.array_file import images_in
from sanoscope.cases.layouts.groups import SPLIT_WORDS, labels_of_groups
from sanoscope.cases.npy import ArrayFile
from sanoscope.cases.readers import is_read
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.suffixes import suffix_of
from sanoscope.errors import DataError, ImageError

name = "medmnist"

PARTS = ("train", "val", "test")
LARGEST_PART = 16 * 2**30  # bytes: the training images of PathMNIST have 13.5 GB at 224 × 224


def recognises(path: Path) -> bool:
    """An ``.npz`` file with the images of a part, or a folder with such a one and no images beside it."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file() and is_read(file)]
        return len(files) == 1 and recognises(files[0])
    if suffix_of(path) != ".npz" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return any(f"{part}_images" in ArrayFile(stream, ".npz").names for part in PARTS)
    except Exception:  # a broken archive, which raises every kind of exception, does not tell
        return False


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images of all splits, in memory. Labels 0 and 1 are normal and abnormal; more need ``normal``.

    Raises:
        DataError: The file is no MedMNIST file, or holds volumes or several labels an image.
        OptionError: ``normal`` is none of the labels.
    """
    file = next(iter(sorted(path.glob("*.npz")))) if path.is_dir() else path
    images, labels = _arrays(file)
    found = {str(value) for of_split in labels.values() for value in np.unique(of_split)}
    named = normal is not None or not found <= {"0", "1"}
    label_of = labels_of_groups(found, normal, file) if named else {"0": 0, "1": 1}
    cases = (
        Case(
            f"{part}/{i:06d}",
            pixels=pixels,
            label=label_of[str(value)],
            group=str(value) if named else None,
            split=SPLIT_WORDS[part],
        )
        for part in images
        for i, (pixels, value) in enumerate(zip(images[part], labels[part], strict=True))
    )
    return Cases(cases, str(file), name)


def _arrays(file: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images and labels of each part of the file."""
    try:
        with naming(file), file.open("rb") as stream:
            archive = ArrayFile(stream, ".npz")
            parts = [part for part in PARTS if f"{part}_images" in archive.names]
            if not parts or any(f"{part}_labels" not in archive.names for part in parts):
                wanted = "train_images, train_labels and so on"
                raise ImageError(f"no MedMNIST file; it needs {wanted}, not {archive.listing}")
            for part in parts:
                images_in(archive, f"{part}_images")
            keys = [f"{part}_{what}" for part in parts for what in ("images", "labels")]
            arrays = {key: archive.read(key, LARGEST_PART) for key in keys}
    except ImageError as error:
        raise DataError(str(error)) from error
    images = {part: arrays[f"{part}_images"] for part in parts}
    labels = {part: arrays[f"{part}_labels"] for part in parts}
    for part in parts:
        _check(file, part, images[part], labels[part])
    return images, {part: labels[part].reshape(-1).astype(int) for part in parts}


def _check(file: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    is_flat = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if not is_flat or images.dtype.kind not in "ui":
        found = f"{images.dtype} of shape {images.shape}"
        raise DataError(f"{file}: {part}_images are {found}, not 2-D images of integers; these alone are read")
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "uib":
        wanted = f"one whole number for each of {len(images)} images"
        raise DataError(f"{file}: {part}_labels are {labels.dtype} of shape {labels.shape}; needed is {wanted}")
