"""Tiles cut from Camelyon16: ``<side>/<class>/<slide>/<tile>.png`` or ``<side>/<class>/<slide>_<tile>.png``.

Ehteshami Bejnordi et al., JAMA 2017. Slides bear the challenge's names, ``normal_001``, ``tumor_001`` or ``test_001``;
classes are ``normal`` and ``tumor``; sides are ``train`` and ``test``, and ``validation`` where there is one. What cut
the tiles, and how it calls them, does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import SPLIT_WORDS, listed, plain
from sanoscope.cases.layouts.listing import list_images, names_of, pair, position_of, sub_folders
from sanoscope.cases.readers import is_read
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError, OptionError

name = "camelyon-tiles"

LABELS = {"normal": 0, "tumor": 1, "tumour": 1}
SLIDE = r"(?P<slide>(?:normal|tumou?r|test)_\d{3})"
TILE = re.compile(rf"(?P<side>[^/]+)/(?P<kind>[^/]+)/{SLIDE}[/_-].+", re.IGNORECASE)
# Nearly empty, black or blurred. Shvetsova et al., Anomaly detection with deep perceptual autoencoders, 2021.
UNUSABLE = frozenset(f"normal_{number}" for number in ("027", "045", "108", "144", "150", "158"))


def recognises(path: Path) -> bool:
    """A folder of sides whose classes all hold a tile named after a slide; classes alone could be of anything."""
    if not path.is_dir():
        return False
    classes = [folder for side in sub_folders(path) if plain(side.name) in SPLIT_WORDS for folder in _classes(side)]
    return bool(classes) and all(any(_match(file, path) for file in _entries(folder)) for folder in classes)


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The tiles; label by the folder of the class, subject by the slide.

    Raises:
        OptionError: ``normal`` is given; the classes have a fixed meaning.
        DataError: No tile is left.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; the class normal is normal")
    listing = list_images(path)
    paired = pair(listing.files)
    tiles = [(file, found) for file in paired.images if (found := _match(path / file, path))]
    usable = [(file, found) for file, found in tiles if found["slide"].casefold() not in UNUSABLE]
    if not usable:
        raise DataError(f"{path}: no tile of a usable slide; cut tiles of slides such as normal_001")
    notes = []
    if left_out := len(tiles) - len(usable):
        slides = sorted({found["slide"].casefold() for _, found in tiles} & UNUSABLE)
        notes.append(f"tiles of slides that are nearly empty, black or blurred left out: {left_out} ({listed(slides)})")
    if others := len(paired.images) - len(tiles):
        notes.append(f"images not named like a tile of a slide left out: {others}")
    cases = (
        Case(
            case_name,
            path / file,
            label=LABELS[plain(found["kind"])],
            group=found["kind"],
            subject=found["slide"].casefold(),
            split=SPLIT_WORDS[plain(found["side"])],
            mask=path / paired.masks[file] if file in paired.masks else None,
            position=position_of(case_name),
        )
        for (file, found), case_name in zip(usable, names_of([file for file, _ in usable]), strict=True)
    )
    return Cases(cases, str(path), name, [*listing.notes, *notes])


def _classes(side: Path) -> Iterator[Path]:
    """The class folders of a side that hold anything."""
    return (folder for folder in sub_folders(side) if plain(folder.name) in LABELS and any(_entries(folder)))


def _entries(folder: Path) -> Iterator[Path]:
    """Images in a class folder, or one folder further down."""
    return (file for place in ("*", "*/*") for file in folder.glob(place) if is_read(file))


def _match(file: Path, root: Path) -> re.Match[str] | None:
    """What the names of folders and file tell of a tile."""
    found = TILE.fullmatch(file.relative_to(root).as_posix())
    known = found and plain(found["side"]) in SPLIT_WORDS and plain(found["kind"]) in LABELS
    return found if known else None
