"""What every layout that is a folder needs: its image files, their names, their masks."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sanoscope.cases.dicom import begins_like_dicom
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.readers import is_read, is_volume, read_types
from sanoscope.cases.suffixes import suffix_of
from sanoscope.errors import DataError

# What the name of a file adds to that of its image, for the true abnormal pixels and for what belongs to the body.
MASK_ENDINGS = ("_mask", "_seg")
FOREGROUND_ENDINGS = ("_foreground", "_brainmask")

POSITION = re.compile(r"_x(\d+)_y(\d+)(?![0-9])")


@dataclass(frozen=True)
class Listing:
    """The image files below a folder.

    Attributes:
        files: Paths relative to the folder, with ``/``, sorted.
        notes: What was left out.
    """

    files: list[str]
    notes: list[str]


def list_images(folder: Path, left_out: Container[str] = ()) -> Listing:
    """All files of a type that is read, at any depth; links are followed, each folder entered once.

    Files whose suffix says nothing are read where they begin like DICOM, as scanners name them with numbers alone.
    Hidden files and folders (``.name``, ``__MACOSX``) and files of other types are passed over and counted.

    Args:
        folder: Where to look.
        left_out: Names of sub-folders not to enter.

    Raises:
        DataError: There is no image, or a folder cannot be listed.
    """
    images: list[str] = []
    hidden = 0
    others: Counter[str] = Counter()
    for file in _files(folder, left_out):
        if _is_hidden(file.rpartition("/")[2]):
            hidden += 1
        elif is_read(file) or begins_like_dicom(folder / file):
            images.append(file)
        else:
            others[suffix_of(file) or "without suffix"] += 1
    notes = [f"hidden files left out: {hidden}"] if hidden else []
    if others:
        notes.append(f"files of other types left out: {others.total()} ({listed(sorted(others))})")
    if not images:
        found = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(f"{folder}: no images here{found}; read are {read_types()}")
    return Listing(sorted(images), notes)


def holds_images(folder: Path) -> bool:
    """Whether any image lies below a folder; stops at the first."""
    visible = (file for file in _files(folder) if not _is_hidden(file.rpartition("/")[2]))
    return any(is_read(file) or begins_like_dicom(folder / file) for file in visible)


def sub_folders(folder: Path) -> list[Path]:
    """The visible sub-folders, sorted.

    Raises:
        DataError: The folder cannot be listed.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error


def _files(folder: Path, left_out: Container[str] = ()) -> Iterator[str]:
    """Files below a folder, relative to it, folder by folder."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    entered: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        true_parent = os.path.realpath(parent)
        if true_parent in entered:  # reached again through a link, perhaps without end
            folders.clear()
            continue
        entered.add(true_parent)
        folders[:] = sorted(name for name in folders if name not in left_out and not _is_hidden(name))
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (prefix + file for file in files)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def names_of(files: Sequence[str]) -> list[str]:
    """The names of cases: paths without suffix, or with it where two files differ in nothing else."""
    stems = [stem_of(file) for file in files]
    times = Counter(stems)
    taken = set(files)  # 'a.png.png' may not take the name that 'a.png' falls back to
    return [file if times[stem] > 1 or stem in taken else stem for file, stem in zip(files, stems, strict=True)]


def stem_of(file: str) -> str:
    """A path without its suffix, as ``suffix_of`` understands it."""
    return file[: len(file) - len(suffix_of(file))]


@dataclass(frozen=True)
class Paired:
    """Image files with what belongs to them.

    Attributes:
        images: The files that are images.
        masks: By image, the file with its abnormal pixels.
        foregrounds: By image, the file with what belongs to the body.
    """

    images: list[str]
    masks: dict[str, str]
    foregrounds: dict[str, str]


def pair(files: Sequence[str]) -> Paired:
    """Tell images from the files that say something of them, by the endings of their names.

    ``a_mask.png`` or ``a_seg.png`` is the mask of ``a.png`` or ``a.tif`` in the same folder, ``a_foreground.png``
    or ``a_brainmask.png`` its foreground, and each an image where there is no such image; of volumes likewise.
    """
    by_stem = {(stem_of(file), is_volume(file)): file for file in files}
    masks: dict[str, str] = {}
    foregrounds: dict[str, str] = {}
    for endings, found in ((MASK_ENDINGS, masks), (FOREGROUND_ENDINGS, foregrounds)):
        for (stem, volume), file in by_stem.items():
            for ending in endings:
                image = by_stem.get((stem.removesuffix(ending), volume))
                if stem.endswith(ending) and image is not None:
                    found.setdefault(image, file)
    of_images = {*masks.values(), *foregrounds.values()}
    return Paired([file for file in files if file not in of_images], masks, foregrounds)


def position_of(name: str) -> tuple[int, int] | None:
    """The ``(x, y)`` that a name such as ``8863_idx5_x1001_y1051_class0`` tells."""
    found = POSITION.search(name.rpartition("/")[2])
    return (int(found[1]), int(found[2])) if found else None
