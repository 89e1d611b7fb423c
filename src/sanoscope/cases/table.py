"""Cases as the columns of a table, and back: where each is from, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanoscope.cases.case import Case, Cases, SlideTile, VolumeSlice

if TYPE_CHECKING:
    import pandas as pd

TILE = ("x", "y", "side", "size")  # fields of ``SlideTile``
# Whole numbers that a case may lack.
WHOLE_COLUMNS = ("label", "slice", "slices", *(f"tile_{name}" for name in TILE))


def columns_of(cases: Cases) -> dict[str, list[Any]]:
    """A value for each case, by the column's name; empty or None where there is none."""
    return {
        "name": [case.name for case in cases],
        "path": ["" if case.path is None else str(case.path) for case in cases],
        "subject": [case.subject for case in cases],
        "split": [case.split for case in cases],
        "label": [case.label for case in cases],
        "group": [case.group for case in cases],
        "mask": ["" if case.mask is None else str(case.mask) for case in cases],
        "axis": [case.slice.axis if case.slice else "" for case in cases],
        "slice": [case.slice.index if case.slice else None for case in cases],
        "slices": [case.slice.count if case.slice else None for case in cases],
        **{f"tile_{name}": [getattr(case.tile, name) if case.tile else None for case in cases] for name in TILE},
    }


def cases_of_table(table: pd.DataFrame) -> Iterator[Case]:
    """The cases of a table whose values are all text, empty where there is none.

    Raises:
        ValueError: A number is none.
    """
    rows: Any = table.itertuples()  # pandas cannot say that all is text
    for row in rows:
        tile = [getattr(row, f"tile_{name}", "") for name in TILE]  # which earlier tables lack
        yield Case(
            name=row.name,
            path=Path(row.path) if row.path else None,
            label=int(row.label) if row.label else None,
            group=row.group or None,
            subject=row.subject or None,
            split=row.split or None,
            mask=Path(row.mask) if row.mask else None,
            slice=VolumeSlice(row.axis, int(row.slice), int(row.slices)) if row.axis else None,
            tile=SlideTile(*map(int, tile)) if any(tile) else None,
        )
