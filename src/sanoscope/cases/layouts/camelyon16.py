"""Camelyon16: whole slides of lymph nodes, normal or with metastases that are outlined.

Ehteshami Bejnordi et al., JAMA 2017. The challenge's own folders are ``training/normal``, ``training/tumor``,
``training/lesion_annotations`` and ``testing/images``, ``testing/lesion_annotations``, ``testing/reference.csv``.
"""

from __future__ import annotations

import csv
import re
from itertools import islice
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.camelyon_tiles import UNUSABLE
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.slides import is_slide
from sanoscope.errors import DataError, OptionError

name = "camelyon16"

FILE = re.compile(r"(normal|tumor|test)_\d{3}\.tiff?", re.IGNORECASE)
PLACES = ("*.tif*", "*/*.tif*", "*/*/*.tif*")
LOOKED_AT = 5  # files that are opened; one of them may be damaged
GROUPS = {"normal": 0, "tumor": 1}
REFERENCES = ("reference.csv", "Reference.csv", "GT.csv")


def recognises(path: Path) -> bool:
    """A folder with a slide called as in the challenge, itself or up to two folders down; patches may be called so."""
    if not path.is_dir():
        return False
    named = (file for place in PLACES for file in path.glob(place) if FILE.fullmatch(file.name))
    return any(map(is_slide, islice(named, LOOKED_AT)))


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The slides, whole: training ones labelled by their names, test ones by ``reference.csv`` or by their outlines.

    Six normal slides for training that show next to nothing are left out. Labels of test slides are unknown where
    neither is there.

    Raises:
        OptionError: ``normal`` is given; names and outlines tell it.
        DataError: ``reference.csv`` cannot be read.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; the slides' names tell it")
    files = sorted({file for place in PLACES for file in path.glob(place) if FILE.fullmatch(file.name)})
    outlines = {file.stem.lower(): file for file in sorted(path.rglob("*.xml"))}
    reference = _reference(path)
    cases, excluded = [], []
    for file in files:
        stem = file.stem.lower()
        if stem in UNUSABLE:
            excluded.append(stem)
            continue
        group = _group(stem, reference, outlines)
        label = None if group is None else GROUPS[group]
        side = "test" if stem.startswith("test") else "train"
        mask = outlines.get(stem) if label != 0 else None
        cases.append(Case(stem, file, label=label, group=group, subject=stem, split=side, mask=mask))
    notes = [f"slides that show next to nothing, left out: {len(excluded)} ({listed(excluded)})"] if excluded else []
    if lacking := [case.name for case in cases if case.label == 1 and case.mask is None]:
        notes.append(f"slides with metastases but without outlines: {len(lacking)} ({listed(lacking, 3)})")
    return Cases(cases, str(path), name, notes)


def _group(stem: str, reference: dict[str, str], outlines: dict[str, Path]) -> str | None:
    """``normal``, ``tumor``, or None where it is not known."""
    kind = stem.partition("_")[0]
    if kind in GROUPS:
        return kind
    if stem in reference:
        return reference[stem]
    return "tumor" if stem in outlines else None


def _reference(path: Path) -> dict[str, str]:
    """The group of each test slide that the challenge's table names."""
    file = next((found for name in REFERENCES for found in sorted(path.rglob(name))), None)
    if file is None:
        return {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if len(row) > 1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as CSV ({error}); copy it again") from error
    stems = {row[0].strip().lower().removesuffix(".tif"): row[1].strip().lower() for row in rows}
    groups = {stem: group for stem, group in stems.items() if stem.startswith("test_")}
    if unknown := sorted({*groups.values()} - GROUPS.keys()):
        raise DataError(f"{file}: '{unknown[0]}' is neither Normal nor Tumor; mend the second column")
    return groups
