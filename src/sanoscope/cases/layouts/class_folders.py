"""A sub-folder for each class, or one for each split (``train``, ``val``, ``test``) with classes in these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import (
    ABNORMAL_WORDS,
    NORMAL_WORDS,
    SPLIT_WORDS,
    labels_of_groups,
    listed,
    plain,
)
from sanoscope.cases.layouts.listing import (
    holds_images,
    list_images,
    names_of,
    pair,
    position_of,
    sub_folders,
)
from sanoscope.cases.readers import is_read
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.suffixes import DICOM, SLIDES, suffix_of

name = "class-folders"


def recognises(path: Path) -> bool:
    """Sub-folders with images, named like classes or splits, or several of them with no image beside them."""
    if not path.is_dir():
        return False
    groups = [plain(folder.name) for folder in sub_folders(path) if holds_images(folder)]
    if not groups:
        return False
    if SPLIT_WORDS.keys() >= set(groups) or NORMAL_WORDS & set(groups):
        return True
    if len(groups) == 1:
        return groups[0] in ABNORMAL_WORDS
    return not any(file.is_file() and is_read(file) for file in path.iterdir())


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """Every image in a class folder, at any depth in it; label by the folder's name.

    Images beside the class folders have no class and are left out. A split folder that has no class folders
    gives images without a label. Sub-folders with nothing but DICOM files or slides, none of them named like a class,
    are an archive's, and mean nothing.

    Raises:
        OptionError: ``normal`` is none of the class folders.
        DataError: No class folder is named like a normal one, and ``normal`` is not given.
    """
    listing = list_images(path)
    paired = pair(listing.files)
    files = paired.images
    has_splits = {plain(file.partition("/")[0]) for file in files if "/" in file} <= SPLIT_WORDS.keys()
    places = {file: _place(file, has_splits) for file in files}
    archived = normal is None and _are_patients(places, files)
    if archived:
        places = {file: (split, None) for file, (split, _) in places.items()}
    classed = {split for split, group in places.values() if group is not None}
    kept = [file for file in files if places[file][1] is not None or places[file][0] not in classed]
    groups = {group for _, group in places.values() if group is not None}
    otherwise = ", or read the images without labels with layout='folder'"
    labels = labels_of_groups(groups, normal, path, otherwise) if groups else {}
    notes = [*listing.notes, *_notes(labels, len(files) - len(kept))]
    if archived:
        notes.append("sub-folders are taken for patients or studies; were they classes, normal would name one of them")
    cases = (
        Case(
            case_name,
            path / file,
            label=labels[group] if group is not None else None,
            group=group,
            split=split,
            mask=path / paired.masks[file] if file in paired.masks else None,
            position=position_of(case_name),
            foreground=path / paired.foregrounds[file] if file in paired.foregrounds else None,
        )
        for file, case_name in zip(kept, names_of(kept), strict=True)
        for split, group in [places[file]]
    )
    return Cases(cases, str(path), name, notes)


def _are_patients(places: Mapping[str, tuple[str | None, str | None]], files: Sequence[str]) -> bool:
    """Whether sub-folders are those of an archive rather than classes."""
    groups = {plain(group) for _, group in places.values() if group is not None}
    archived = (suffix_of(file) in (*DICOM, *SLIDES) or not is_read(file) for file in files)
    return bool(groups) and not groups & (NORMAL_WORDS | ABNORMAL_WORDS) and all(archived)


def _place(file: str, has_splits: bool) -> tuple[str | None, str | None]:
    """The split and the class that the folders of a file tell."""
    folders = file.split("/")[:-1]
    split = SPLIT_WORDS[plain(folders.pop(0))] if has_splits and folders else None
    return split, folders[0] if folders else None


def _notes(labels: dict[str, int], strays: int) -> list[str]:
    notes = []
    if labels:
        normals = [group for group, label in labels.items() if label == 0]
        others = [group for group, label in labels.items() if label == 1]
        notes.append(f"taken as normal: {listed(normals) or 'none'}; as abnormal: {listed(others) or 'none'}")
    if strays:
        notes.append(f"images outside the class folders left out: {strays}")
    return notes
