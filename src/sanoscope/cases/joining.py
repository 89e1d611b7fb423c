"""Two collections as one: normals of the first to learn from, the second to be tested on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sanoscope.cases.case import Cases
from sanoscope.cases.duplicates import across_splits, describe_duplicates
from sanoscope.cases.layouts import class_folders, folder
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.splits import add_validation
from sanoscope.errors import DataError

# These know no patients: the subject of a volume is its file's name, and files called alike may be of anyone.
NAMED_BY_FILE = (class_folders.name, folder.name)


def joined(train: Cases, test: Cases, seed: int = 0) -> Cases:
    """One collection, to learn from one source and to be tested on another.

    Names are prefixed by the sources' folders where the two have any in common; so are subjects that are only names
    of files.

    Args:
        train: Its normals are learned from: those of its own training and validation sides, or all where it is not
            split. Where it has no validation side, a tenth of them becomes it, by subject.
        test: Its test side is tested on, or all of it where it is not split.
        seed: Chooses that tenth.

    Raises:
        DataError: There is nothing to learn from or to test on, or a subject or an image is in both.
    """
    parts = (_to_learn_from(train, seed), _to_test_on(test))
    folders = _folders(train, test)
    names = {case.name for case in parts[0]} & {case.name for case in parts[1]}
    subjects = _subjects(parts[0]) & _subjects(parts[1])
    _check_apart(*parts, subjects)
    notes = [f"{where}: {note}" for part, where in zip(parts, folders, strict=True) for note in part.notes]
    if subjects:
        alike = listed(sorted(subjects), 3)
        notes.append(f"subjects called alike in both and taken for different ones: {len(subjects)} ({alike})")
    cases = (
        replace(
            case,
            name=f"{where}/{case.name}" if names else case.name,
            subject=f"{where}/{case.subject}" if subjects and case.subject is not None else case.subject,
        )
        for part, where in zip(parts, folders, strict=True)
        for case in part
    )
    both = Cases(cases, f"{train.source} and {test.source}", f"{train.layout} and {test.layout}", notes)
    found = across_splits(both)
    return both.with_cases(both, [describe_duplicates(found)]) if found else both


def _to_learn_from(cases: Cases, seed: int) -> Cases:
    """The normals on training and validation sides."""
    sides = ("train", "validation")
    normals = cases.normals
    if cases.is_split:
        learned = normals.where(lambda case: case.split in sides)
    else:
        learned = normals.assign(["train"] * len(normals))
    if not len(learned.train):
        raise DataError(f"{cases.source}: no normal image to learn from; give a collection with normal training images")
    left_out = {
        "abnormal images left out": len(cases) - len(normals),
        f"images on other sides than {' and '.join(sides)} left out": len(normals) - len(learned),
    }
    notes = [f"{what}: {count}" for what, count in left_out.items() if count]
    return add_validation(learned.with_cases(learned, notes), seed=seed)


def _to_test_on(cases: Cases) -> Cases:
    tested = cases.test if cases.is_split else cases.assign(["test"] * len(cases))
    if not len(tested):
        raise DataError(f"{cases.source}: no image on the test side; assign some to it, or give no sides")
    if left_out := len(cases) - len(tested):
        tested = tested.with_cases(tested, [f"images on other sides than test left out: {left_out}"])
    return tested


def _check_apart(learned: Cases, tested: Cases, subjects: set[str]) -> None:
    """Refuse what would be learned from and tested on at once."""
    if subjects and not {learned.layout, tested.layout} & set(NAMED_BY_FILE):
        raise DataError(
            f"{learned.source} and {tested.source}: subjects in both: {len(subjects)} ({listed(sorted(subjects), 3)}); "
            "take them out of one, or rename them in a manifest if they are other people"
        )
    files = {(case.path, case.slice) for case in learned if case.path is not None}
    if same := next((case for case in tested if (case.path, case.slice) in files), None):
        raise DataError(f"{same}: is to be learned from and tested on; give collections that do not share images")


def _subjects(cases: Cases) -> set[str]:
    return {subject for subject in cases.subjects if subject is not None}


def _folders(train: Cases, test: Cases) -> tuple[str, str]:
    """What the folders of two sources are called, with what they are for where that is the same."""
    sources = (Path(cases.source) for cases in (train, test))
    first, second = (source.parent.name if source.is_file() else source.name for source in sources)
    return (first, second) if first != second else (f"{first}-train", f"{second}-test")
