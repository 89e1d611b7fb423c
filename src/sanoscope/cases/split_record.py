"""The split that a model was trained with, kept beside it, so that nobody scores its training images by mistake."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from sanoscope.cases.case import SPLITS, Cases
from sanoscope.cases.manifest import write_manifest
from sanoscope.errors import DataError, ModelError, OptionError

SPLIT_FILE, MANIFEST_FILE = "split.json", "manifest.csv"
SIDES = ("auto", "all", *SPLITS)


def write_split(cases: Cases, folder: Path) -> None:
    """Record which case is on which side, and as a manifest where cases are files."""
    record = {"source": _source(cases), "sides": {case.name: case.split for case in cases}}
    (folder / SPLIT_FILE).write_text(json.dumps(record))
    if all(case.path is not None and case.pixels is None for case in cases):
        with contextlib.suppress(DataError):  # names that are no text have no place in a CSV; the record has them
            write_manifest(cases, folder / MANIFEST_FILE)


def _source(cases: Cases) -> str:
    """Where the cases are, the same for a manifest and the folder that is read by it."""
    source = Path(cases.source).resolve()
    return str(source.parent if source.name == MANIFEST_FILE else source)


def choose_side(cases: Cases, model: Path, side: str) -> tuple[Cases, str]:
    """The cases to score and a line that says which they are.

    Args:
        cases: As the source gives them.
        model: Folder of the model, with the record of its split if it has one.
        side: ``auto`` takes the test side of the collection that the model was trained on, or of one that
            assigns its own sides, and everything otherwise; or the name of a side, or ``all``. Images that
            the collection did not have then are on the test side.

    Raises:
        OptionError: If there is no such side.
        DataError: If no case is on it.
    """
    if side not in SIDES:
        raise OptionError(f"--side takes one of {', '.join(SIDES)}, not '{side}'")
    recorded = _recorded(model, cases)
    cases = _assigned(cases, recorded)
    if side == "all" or (side == "auto" and not cases.is_split):
        return cases, f"all {len(cases)} images"
    wanted = "test" if side == "auto" else side
    chosen = cases.in_split(wanted)
    if not len(chosen):
        raise DataError(f"{cases.source}: no image is on the {wanted} side; choose another --side")
    whose = "of the collection the model was trained on" if recorded is not None else "as the collection assigns it"
    new = sum(case.name not in recorded for case in chosen) if recorded is not None else 0
    added = f", {new} of them new there" if new else ""
    others = f" (--side all for all {len(cases)})" if side == "auto" else ""
    return chosen, f"the {len(chosen)} images on the {wanted} side {whose}{added}{others}"


def as_recorded(cases: Cases, model: Path) -> Cases:
    """The cases on the sides that they had when the model was trained, if it was on this collection."""
    return _assigned(cases, _recorded(model, cases))


def _assigned(cases: Cases, recorded: dict[str, str | None] | None) -> Cases:
    return cases if recorded is None else cases.assign([recorded.get(case.name, "test") for case in cases])


def _recorded(model: Path, cases: Cases) -> dict[str, str | None] | None:
    file = model / SPLIT_FILE
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text())
        sides: dict[str, str | None] = dict(record["sides"])
        return sides if record["source"] == _source(cases) else None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); remove it to score without the recorded split") from error
