"""A folder of images or volumes whose sub-folders mean nothing, or a single file: labels are unknown."""

from __future__ import annotations

from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.listing import list_images, names_of, pair, position_of, stem_of
from sanoscope.cases.readers import is_read
from sanoscope.cases.slicing import Slicing

name = "folder"


def recognises(path: Path) -> bool:
    """Any folder, or a file of a type that is read."""
    return path.is_dir() or is_read(path)


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """Every image below the folder; ``a_mask.png`` beside ``a.png`` is its mask, as ``pair`` says."""
    if path.is_file():
        stem = stem_of(path.name)
        return Cases([Case(stem, path, position=position_of(stem))], str(path), name)
    listing = list_images(path)
    paired = pair(listing.files)
    cases = (
        Case(
            case_name,
            path / file,
            mask=path / paired.masks[file] if file in paired.masks else None,
            position=position_of(case_name),
            foreground=path / paired.foregrounds[file] if file in paired.foregrounds else None,
        )
        for file, case_name in zip(paired.images, names_of(paired.images), strict=True)
    )
    return Cases(cases, str(path), name, listing.notes)
