"""Writing a collection and its split as a manifest that ``load_cases`` reads back."""

from __future__ import annotations

import csv
import os
from dataclasses import astuple
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.manifest import TILE, names_from_paths
from sanoscope.errors import DataError

COLUMNS = ("path", "label", "mask", "subject", "split")
OPTIONAL = ("group", "name", "x", "y", "axis", "index", *TILE, "foreground")


def write_manifest(cases: Cases, path: Path | str) -> None:
    """Write ``path,label,mask,subject,split`` for each case, in order; whole or not at all.

    Paths below the manifest's folder are written relative to it, others in full. Columns ``group``, ``name``,
    ``x`` and ``y`` are added where ``load_cases`` would not find the same values without them, ``foreground``
    where there is one, ``axis`` and ``index`` for slices of volumes, and ``TILE`` for tiles of slides.

    Args:
        cases: Cases that have files.
        path: The CSV to write; its folder is made if need be.

    Raises:
        DataError: A case is in memory only, or the file cannot be written.
    """
    path = Path(path)
    in_memory = [case.name for case in cases if case.path is None or case.mask_pixels is not None]
    if in_memory:
        raise DataError(f"{path}: the case '{in_memory[0]}' is in memory, not in a file; save it as one first")
    rows = [_row(case, path.parent) for case in cases]
    default_names = names_from_paths(path.parent, [row["path"] for row in rows])
    for row, case, default in zip(rows, cases, default_names, strict=True):
        row["name"] = "" if case.name == default else case.name
    optional = [column for column in OPTIONAL if any(row[column] for row in rows)]
    try:
        _write([*COLUMNS, *optional], rows, path)
    except (OSError, UnicodeEncodeError) as error:
        raise DataError(f"{path}: cannot be written ({error}); choose another place or other names") from error


def _row(case: Case, folder: Path) -> dict[str, str]:
    assert case.path is not None
    x, y = case.position if case.position is not None else ("", "")
    return {
        "path": _relative(case.path, folder),
        "label": "" if case.label is None else str(case.label),
        "mask": "" if case.mask is None else _relative(case.mask, folder),
        "subject": case.subject or "",
        "split": case.split or "",
        "group": case.group or "",
        "x": str(x),
        "y": str(y),
        "axis": "" if case.slice is None else case.slice.axis,
        "index": "" if case.slice is None else str(case.slice.index),
        **dict(zip(TILE, map(str, astuple(case.tile)) if case.tile is not None else [""] * len(TILE), strict=True)),
        "foreground": "" if case.foreground is None else _relative(case.foreground, folder),
    }


def _relative(file: Path, folder: Path) -> str:
    absolute = Path(os.path.abspath(file))  # noqa: PTH100 - a link stays a link
    base = Path(os.path.abspath(folder))  # noqa: PTH100
    return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()


def _write(columns: list[str], rows: list[dict[str, str]], path: Path) -> None:
    """Write beside the file and put it in place at once, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            # Lines end as RFC 4180 has it; with "\n" alone a carriage return in a name would go unquoted.
            writer = csv.DictWriter(stream, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
