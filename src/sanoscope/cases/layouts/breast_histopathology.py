"""Kaggle's breast-histopathology images: ``<patient>/<class>/<patient>_idx5_x<X>_y<Y>_class<c>.png``.

Janowczyk and Madabhushi, Journal of Pathology Informatics 2016. The archive holds every file twice, the
second time below ``IDC_regular_ps50_idx5``; splits over both copies would put a patch on two sides.
"""

from __future__ import annotations

import re
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.listing import list_images, names_of, position_of
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import OptionError

name = "breast-histopathology"

SECOND_COPY = "IDC_regular_ps50_idx5"
PATCHES = "*/[01]/*_idx5_x*_y*_class[01].png"
PATCH = re.compile(r"(?P<patient>[^/]+)/(?P<label>[01])/(?P=patient)_idx5_x\d+_y\d+_class(?P=label)\.png")


def recognises(path: Path) -> bool:
    """A folder, or one around the second copy alone, with at least one patch named that way."""
    return path.is_dir() and any(any(folder.glob(PATCHES)) for folder in (path, path / SECOND_COPY))


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """One copy of the patches: class 0 is normal; patient and position come from the name.

    Raises:
        OptionError: ``normal`` is given; the classes have a fixed meaning.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; class 0 is normal")
    notes = []
    root = path
    if not any(path.glob(PATCHES)):
        root = path / SECOND_COPY
    elif (path / SECOND_COPY).is_dir():
        notes.append(f"the archive's second copy, {SECOND_COPY}, left out")
    listing = list_images(root, left_out={SECOND_COPY})
    patches = [(file, found) for file in listing.files if (found := PATCH.fullmatch(file))]
    if len(patches) < len(listing.files):
        notes.append(f"images not named like a patch left out: {len(listing.files) - len(patches)}")
    cases = (
        Case(
            case_name,
            root / file,
            label=int(found["label"]),
            subject=found["patient"],
            position=position_of(file),
        )
        for (file, found), case_name in zip(patches, names_of([file for file, _ in patches]), strict=True)
    )
    return Cases(cases, str(path), name, [*listing.notes, *notes])
