"""NIH ChestX-ray14: a table of findings, ``Data_Entry_2017.csv``, with the images in folders beside it.

Wang et al., CVPR 2017. The official lists ``train_val_list.txt`` and ``test_list.txt`` divide it by patient.
"""

from __future__ import annotations

import csv
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import labels_of_groups, listed
from sanoscope.cases.layouts.listing import names_of
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError

name = "nih-chest-xray"

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")  # the corrected one first
IMAGE, FINDINGS, PATIENT, VIEW = COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
NORMAL = "No Finding"

Row = dict[str, str]


def recognises(path: Path) -> bool:
    """A folder with the table."""
    return any((path / file).is_file() for file in TABLES)


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images of the table that are there, of one view or of all.

    The group is the finding as the table has it, several joined by ``|``; the subject is the patient. Images on
    neither official list are on no side.

    Args:
        path: The folder.
        normal: The finding to be taken as normal; ``No Finding`` where None.
        slicing: Tells the view.

    Raises:
        DataError: The table or a list cannot be used, or no image of the view is there.
        OptionError: ``normal`` is none of the findings.
    """
    table = next(path / file for file in TABLES if (path / file).is_file())
    rows = _rows(table)
    files = _files(path)
    shown, notes = _shown(table, rows, files, slicing.view)
    labels = labels_of_groups((NORMAL, *(row[FINDINGS] for row in rows)), normal or NORMAL, table)
    sides = _sides(path)
    cases = (
        Case(
            case_name,
            files[row[IMAGE]],
            label=labels[row[FINDINGS]],
            group=row[FINDINGS],
            subject=row[PATIENT],
            split=sides.get(row[IMAGE]),
        )
        for row, case_name in zip(shown, names_of([row[IMAGE] for row in shown]), strict=True)
    )
    return Cases(cases, str(path), name, notes)


def _rows(table: Path) -> list[Row]:
    """What is used of each row; other columns differ between versions, and have commas in their names."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or ()
            rows = [{column: (row.get(column) or "").strip() for column in COLUMNS} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as CSV in UTF-8 ({error}); download it again") from error
    if missing := [column for column in COLUMNS if column not in header]:
        raise DataError(f"{table}: no column '{missing[0]}' in the header; download it again")
    for number, row in enumerate(rows, start=2):
        if empty := [column for column in COLUMNS if not row[column]]:
            raise DataError(f"{table}, row {number}: '{empty[0]}' is empty; download the table again")
    return rows


def _files(path: Path) -> dict[str, Path]:
    """Every file by its name: in one folder, as the twelve archives unpack, or beside the table."""
    folders = [path / "images", *sorted(path.glob("images_*/images")), path]
    try:
        return {file.name: file for folder in folders if folder.is_dir() for file in folder.iterdir()}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from error


def _shown(table: Path, rows: list[Row], files: dict[str, Path], view: str) -> tuple[list[Row], list[str]]:
    """The rows whose image is there and of the view, and how many are not."""
    here = [row for row in rows if row[IMAGE] in files]
    if not here:
        folder = table.with_name("images")
        raise DataError(f"{table}: none of its {len(rows)} images is here; put them into {folder}")
    shown = [row for row in here if view in ("all", row[VIEW])]
    if not shown:
        views = listed(sorted({row[VIEW] for row in here}))
        raise DataError(f"{table}: no image here has the view {view}, only {views}; set data.view=all")
    left_out = {
        f"images of {table.name} that are not here": len(rows) - len(here),
        f"images of another view than {view} left out": len(here) - len(shown),
    }
    return shown, [f"{what}: {count}" for what, count in left_out.items() if count]


def _sides(path: Path) -> dict[str, str]:
    """The side of each image on an official list; none where there are no lists."""
    lists = {split: path / file for split, file in LISTS.items()}
    missing = [file for file in lists.values() if not file.is_file()]
    if len(missing) == len(lists):
        return {}
    if missing:
        raise DataError(f"{missing[0]}: is missing beside the other official list; put it there, or remove that one")
    named = {split: _names(file) for split, file in lists.items()}
    if both := named["train"] & named["test"]:
        raise DataError(f"{lists['test']}: '{min(both)}' is on {LISTS['train']} too; download both lists again")
    return {image: split for split, images in named.items() for image in images}


def _names(file: Path) -> set[str]:
    try:
        return set(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text ({error}); download it again") from error
