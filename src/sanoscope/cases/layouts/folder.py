"""A folder of images whose sub-folders mean nothing, or a single image file: labels are unknown."""

from __future__ import annotations

from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.listing import list_images, names_of, pair_masks, position_of
from sanoscope.cases.readers import READERS, suffix_of

name = "folder"


def recognises(path: Path) -> bool:
    """Any folder, or an image file."""
    return path.is_dir() or suffix_of(path) in READERS


def read(path: Path, normal: str | None = None) -> Cases:
    """Every image below the folder; ``a_mask.png`` beside ``a.png`` is its mask."""
    if path.is_file():
        return Cases([Case(path.stem, path, position=position_of(path.stem))], str(path), name)
    listing = list_images(path)
    files, masks = pair_masks(listing.files)
    cases = (
        Case(
            case_name,
            path / file,
            mask=path / masks[file] if file in masks else None,
            position=position_of(case_name),
        )
        for file, case_name in zip(files, names_of(files), strict=True)
    )
    return Cases(cases, str(path), name, listing.notes)
