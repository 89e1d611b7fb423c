"""The layouts a collection can have on disk, one module each, asked in order; the first to say yes reads it.

A new layout is one more module with ``name``, ``recognises`` and ``read``, listed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sanoscope.cases.case import Cases
from sanoscope.cases.layouts import (
    array_file,
    brats,
    breast_histopathology,
    camelyon16,
    camelyon_tiles,
    cifar10,
    class_folders,
    folder,
    hcp,
    kaggle_3m,
    manifest,
    medmnist,
    mvtec,
    nih_chest_xray,
    svhn,
)
from sanoscope.cases.slicing import Slicing


class Layout(Protocol):
    """What each module of this folder offers."""

    @property
    def name(self) -> str:
        """The name to ask for it by, and that ``Cases.layout`` bears."""

    def recognises(self, path: Path) -> bool:
        """Whether the file or folder is laid out this way. Looks at as few files as will do."""

    def read(self, path: Path, normal: str | None, slicing: Slicing) -> Cases:
        """All cases found there, with what the layout tells of label, subject, split, mask and position.

        Volumes are given whole; they are sliced afterwards, whatever the layout.

        Args:
            path: The file or folder.
            normal: The group to be taken as normal, and all others as abnormal.
            slicing: Tells the modality or the view, where a layout has several.

        Raises:
            DataError: What is there cannot be used.
        """


# The particular before the general: a folder of images is also what each of the others looks like.
_IN_ORDER: tuple[Layout, ...] = (
    manifest,
    nih_chest_xray,
    cifar10,
    svhn,
    breast_histopathology,
    brats,
    hcp,
    kaggle_3m,
    mvtec,
    medmnist,
    array_file,
    camelyon16,
    camelyon_tiles,
    class_folders,
    folder,
)

LAYOUTS = {layout.name: layout for layout in _IN_ORDER}
