"""A CSV with one row an image or volume: ``path,label,mask,subject,split``, of which only ``path`` is required.

The path of a folder stands for the one DICOM volume in it.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sanoscope.cases.case import AXES, SPLITS, Case, Cases, SlideTile, VolumeSlice
from sanoscope.cases.dicom import is_dicom
from sanoscope.cases.layouts.groups import SPLIT_WORDS, labels_of_groups, listed
from sanoscope.cases.layouts.listing import names_of, position_of
from sanoscope.cases.readers import is_read, is_volume, unread
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.suffixes import DICOM, suffix_of
from sanoscope.cases.volume_files import read_grid
from sanoscope.errors import DataError, ImageError, nearest

name = "manifest"

FILE_NAME = "manifest.csv"  # what is looked for in a folder
FILES = ("path", "mask", "foreground")  # columns that name files
OUTLINES = (".xml", ".geojson")  # what masks of slides are
TILE = ("tile_x", "tile_y", "tile_side", "tile_size")  # as ``SlideTile``
COLUMNS = (*FILES, "label", "subject", "split", "group", "name", "x", "y", "axis", "index", *TILE)
# As spreadsheets and pandas also write them: a column of integers with gaps comes out as 0.0 and 1.0.
LABEL_WORDS = {"0": 0, "0.0": 0, "normal": 0, "1": 1, "1.0": 1, "abnormal": 1}


@dataclass(frozen=True)
class Row:
    """One row, by column, with its number as a spreadsheet counts (the header is row 1)."""

    number: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


def recognises(path: Path) -> bool:
    """A ``.csv`` file, or a folder with a ``manifest.csv``."""
    return (path / FILE_NAME).is_file() or (path.is_file() and path.suffix.lower() == ".csv")


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The rows as cases, paths relative to the CSV's folder.

    Besides the five columns, ``foreground`` (a file), ``group`` (what the label is called), ``name``, ``x`` and
    ``y`` are understood, ``axis`` and ``index`` for one slice of a volume, and ``TILE`` for one tile of a slide.

    Raises:
        DataError: The file is empty, has no ``path`` column, names a file that does not exist or is of a type
            that is not read, or holds a label, split or slice that is not understood.
        OptionError: ``normal`` is none of the labels.
    """
    file = path / FILE_NAME if path.is_dir() else path
    rows, others = _rows(file)
    labels = _labels(file, rows, normal)
    names = _names(file, rows)
    cases = [
        Case(
            case_name,
            path=file.parent / row["path"],
            label=label,
            group=group,
            subject=row["subject"] or None,
            split=_split(file, row),
            mask=file.parent / row["mask"] if row["mask"] else None,
            position=_position(file, row, case_name),
            slice=_slice(file, row),
            tile=_tile(file, row),
            foreground=file.parent / row["foreground"] if row["foreground"] else None,
        )
        for row, case_name, (label, group) in zip(rows, names, labels, strict=True)
    ]
    _check_files(file, rows, cases)
    notes = [f"columns not used: {listed(others)}"] if others else []
    return Cases(cases, str(path), name, notes)


def _rows(file: Path) -> tuple[list[Row], list[str]]:
    """The rows that are not blank, and the names of columns that are not understood."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as CSV in UTF-8 ({error}); save it as that") from error
    header = [column.strip().lower() for column in lines[0]] if lines else []
    if not header:
        raise DataError(f"{file}: the file is empty; it needs a header with the column 'path' and a row an image")
    if "path" not in header:
        found = listed(lines[0])
        raise DataError(f"{file}: no column 'path' in the header ({found}); add it, separated by commas")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if any("\0" in value for value in line):
            raise DataError(f"{file}, row {number}: holds a NUL character; save it as CSV in UTF-8")
        if len(line) > len(header):
            raise DataError(f"{file}, row {number}: more values than columns; put quotes around commas")
        values = dict(zip(header, line, strict=False))
        # File names may begin or end with blanks; a subject with a stray one would be two subjects.
        values = {key: text if key in FILES else text.strip() for key, text in values.items()}
        if any(values.values()):
            rows.append(Row(number, values))
            if not values.get("path"):
                raise DataError(f"{file}, row {number}: the path is empty; name the image file")
    if not rows:
        raise DataError(f"{file}: no rows below the header; add one for each image")
    return rows, [column or "(unnamed)" for column in header if column not in COLUMNS]


def _labels(file: Path, rows: list[Row], normal: str | None) -> list[tuple[int | None, str | None]]:
    """The label and the group of each row."""
    groups = [row["group"] or (None if row["label"].lower() in LABEL_WORDS else row["label"] or None) for row in rows]
    if normal is not None:
        named = [group or row["label"] or None for group, row in zip(groups, rows, strict=True)]
        by_name = labels_of_groups((group for group in named if group), normal, file)
        return [(by_name[group] if group else None, group) for group in named]
    for row in rows:
        if row["label"] and row["label"].lower() not in LABEL_WORDS:
            words = listed(sorted({group for group in groups if group}))
            raise DataError(
                f"{file}, row {row.number}: label '{row['label']}' is not 0, 1, normal or abnormal; "
                f"say which group is normal with normal='...' (groups: {words})"
            )
    return [(LABEL_WORDS.get(row["label"].lower()), group) for row, group in zip(rows, groups, strict=True)]


def _names(file: Path, rows: list[Row]) -> list[str]:
    """The names given, or those that the paths give."""
    files = [os.path.normpath(row["path"]) for row in rows]
    parts = ("axis", "index", *TILE)
    images = [(path, *(row[column] for column in parts)) for path, row in zip(files, rows, strict=True)]
    repeated = [image for image, times in Counter(images).items() if times > 1]
    if repeated:
        numbers = [str(row.number) for row, image in zip(rows, images, strict=True) if image == repeated[0]]
        raise DataError(f"{file}: '{repeated[0][0]}' is in rows {listed(numbers)}; keep one")
    defaults = names_from_paths(file.parent, files)
    names = [row["name"] or default for row, default in zip(rows, defaults, strict=True)]
    for row, case_name in zip(rows, names, strict=True):
        if case_name.startswith("/") or ".." in case_name.split("/"):
            raise DataError(f"{file}, row {row.number}: name '{case_name}' leads out of a folder; names may not")
    return names


def names_from_paths(folder: Path, paths: Sequence[str]) -> list[str]:
    """Names for the paths of a manifest in a folder.

    They are used for output files, so that paths outside the folder are taken relative to the deepest folder
    that holds all images.
    """
    files = [os.path.normpath(path) for path in paths]
    if any(file.startswith(os.sep) or file.startswith("..") for file in files):
        absolute = [os.path.abspath(folder / file) for file in files]  # noqa: PTH100 - links stay as they are
        base = os.path.commonpath([os.path.dirname(file) for file in absolute])  # noqa: PTH120
        files = [os.path.relpath(file, base) for file in absolute]
    distinct = list(dict.fromkeys(files))
    names = dict(zip(distinct, names_of([file.replace(os.sep, "/") for file in distinct]), strict=True))
    return [names[file] for file in files]


def _split(file: Path, row: Row) -> str | None:
    word = row["split"].lower()
    if word and word not in SPLIT_WORDS:
        raise DataError(f"{file}, row {row.number}: unknown split '{word}'; {nearest(word, list(SPLITS))}")
    return SPLIT_WORDS[word] if word else None


def _position(file: Path, row: Row, case_name: str) -> tuple[int, int] | None:
    if not (row["x"] and row["y"]):
        return position_of(case_name)
    try:
        return int(row["x"]), int(row["y"])
    except ValueError as error:
        found = f"x '{row['x']}', y '{row['y']}'"
        raise DataError(f"{file}, row {row.number}: {found} are no whole numbers of pixels") from error


def _slice(file: Path, row: Row) -> VolumeSlice | None:
    """The slice that a row names; None for a whole volume or an image, and where the header cannot be read."""
    axis, index = row["axis"], row["index"]
    path = file.parent / row["path"]
    if not (axis or index):
        return None
    if axis not in AXES or not index.isdecimal() or not (is_volume(path) or is_dicom(path)):
        found = f"axis '{axis}', index '{index}' of '{row['path']}'"
        raise DataError(f"{file}, row {row.number}: {found} is no slice; give {', '.join(AXES)} and a whole number")
    try:
        count = read_grid(path).canonical_shape[AXES[axis]]
    except ImageError:
        return None
    if int(index) >= count:
        raise DataError(f"{file}, row {row.number}: '{row['path']}' has {count} {axis} slices, no slice {index}")
    return VolumeSlice(axis, int(index), count)


def _tile(file: Path, row: Row) -> SlideTile | None:
    """The tile that a row names; None for anything else."""
    values = [row[column] for column in TILE]
    if not any(values):
        return None
    try:
        x, y, side, size = map(int, values)
    except ValueError as error:
        found = ", ".join(f"{column} '{value}'" for column, value in zip(TILE, values, strict=True))
        raise DataError(f"{file}, row {row.number}: {found} are no whole numbers; give all four") from error
    if side < 1 or size < 1:
        raise DataError(f"{file}, row {row.number}: a tile of {side} pixels read at {size}; both must be above 0")
    return SlideTile(x, y, side, size)


def _check_files(file: Path, rows: list[Row], cases: list[Case]) -> None:
    missing = []
    for row, case in zip(rows, cases, strict=True):
        kinds = {}
        for column, path in zip(FILES, (case.path, case.mask, case.foreground), strict=True):
            if path is None:
                continue
            kinds[column] = _kind(path)
            if not path.exists() and (kinds[column] or not suffix_of(path)):
                missing.append((row.number, row[column]))
            elif not kinds[column]:
                raise DataError(f"{file}, row {row.number}: '{row[column]}': {unread(suffix_of(path))}")
            elif {kinds[column], kinds["path"]} == {"a volume", "an image"}:
                raise DataError(
                    f"{file}, row {row.number}: '{row[column]}' and '{row['path']}' are {kinds[column]} and "
                    f"{kinds['path']}; give two of a kind"
                )
    if missing:
        number, first = missing[0]
        count = f"{len(missing)} of the files named do not exist"
        raise DataError(f"{file}: {count}, the first in row {number}: '{first}'; paths start at its folder")


def _kind(path: Path) -> str:
    """What a file is; a folder is the volume whose DICOM files it has, a DICOM file an image or a volume."""
    suffix = suffix_of(path)
    if suffix in OUTLINES:
        return "outlines"
    if is_volume(path) or path.is_dir():
        return "a volume"
    if suffix not in DICOM and is_read(path):
        return "an image"
    return "DICOM" if is_dicom(path) else ""
