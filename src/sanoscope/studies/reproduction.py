"""The papers' tables as declared studies, and where their collections are found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sanoscope.errors import DataError, OptionError, nearest
from sanoscope.studies.declaration import Study
from sanoscope.studies.parsing import parse_study, read_study
from sanoscope.studies.sources import BelowFolder, names_of_layouts

FOLDER = Path(__file__).parent / "papers"
ALL = "all"


@dataclass(frozen=True)
class Table:
    """A paper's table, before any data are looked at.

    Attributes:
        name: Such as ``"A1"``.
        title: For people.
        paper: Which it is of.
        own: Layouts of the paper's own collections.
        stand_ins: Folders that stand in for them.
        needs: What the whole protocol needs, in words.
        small: The budget called small.
    """

    name: str
    title: str
    paper: str
    own: tuple[str, ...]
    stand_ins: tuple[str, ...]
    needs: str
    small: dict[str, Any]


def tables() -> list[Table]:
    """All of them, in the papers' order."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda file: _order(file.stem))
    return [_table(read_study(file)) for file in files]


def reproduction(name: str, data: Path) -> Study:
    """The study that a table is, on the collections below a folder.

    Args:
        name: Of the table.
        data: A collection, or a folder of collections; where the paper's own is not there, others stand in.

    Raises:
        OptionError: If there is no such table; the nearest name is in the message.
        DataError: If none of its collections is there, nor what could stand in.
    """
    known = {table.name.lower(): table for table in tables()}
    if name.lower() not in known:
        raise OptionError(f"no table '{name}'; {nearest(name, [table.name for table in known.values()])}")
    table = known[name.lower()]
    locate = BelowFolder(data)
    file = FOLDER / f"{table.name}.yaml"
    study = parse_study(read_study(file), file.name, locate)
    if not study.collections:
        raise DataError(
            f"{data}: has no collection for table {table.name}; it takes {', '.join(table.own)}, or a folder named "
            f"{', '.join(table.stand_ins)} in its place"
        )
    return study


def _table(content: Any) -> Table:
    entries = content["collections"]
    stand_ins = [entry.get("stand_in", {}).get("folder") for entry in entries]
    return Table(
        content["name"],
        content["title"],
        content["paper"],
        tuple(names_of_layouts(entries)),
        tuple(dict.fromkeys(folder for folder in stand_ins if folder)),
        " ".join(str(content.get("needs", "")).split()),
        content.get("small", {}),
    )


def _order(name: str) -> tuple[str, str, int]:
    """By paper, then the paper's own tables, its supplement's, and its figures."""
    found = re.fullmatch(r"([A-E])([SF]?)(\d*)", name)
    if found is None:
        return name, "", 0
    paper, kind, number = found.groups()
    return paper, {"": "0", "S": "1", "F": "2"}[kind], int(number or 0)
