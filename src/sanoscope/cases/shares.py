"""A share of a collection, for a budget: of its images to learn from, and of its subjects to be tested on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

import numpy as np

from sanoscope.cases.case import LABELS, Cases
from sanoscope.errors import DataError, OptionError

# Of each label that the test side has; one alone would make its figures those of a single patient.
LEAST_TESTED = 2


def share(cases: Cases, data: float = 1.0, test: float = 1.0, seed: int = 0) -> Cases:
    """The cases without what a stated budget leaves no time for; images on no side stay.

    Of the same cases and with the same seed, the cases of a smaller share are among those of a larger one.

    Args:
        cases: On their sides.
        data: Share of the images on the training and on the validation side, of normal and abnormal ones apart. Each
            subject keeps the same share of its images, and one at least while there are as many images as subjects.
        test: Share of the subjects on the test side, with all their images; of the images where subjects are unknown.
            Two subjects at least stay with each label that the side has, as far as there are two.
        seed: Chooses them.

    Raises:
        OptionError: A share is not above 0 and at most 1, or the seed is negative.
        DataError: The cases are on no side.
    """
    for name, value in (("data", data), ("test", test)):
        if not 0 < value <= 1:
            raise OptionError(f"{name}={value}: the share must be above 0 and at most 1")
    if seed < 0:
        raise OptionError(f"seed={seed}: must not be negative")
    if data == test == 1:
        return cases
    if not cases.is_split:
        raise DataError(f"{cases.source}: no image is on a side to take a share of; split the collection first")
    kept = {i for i, case in enumerate(cases) if case.split is None}
    notes = []
    for number, (side, value) in enumerate({"train": data, "validation": data, "test": test}.items()):
        members = [i for i, case in enumerate(cases) if case.split == side]
        rng = np.random.default_rng([seed, number])
        draw = _whole_subjects if side == "test" else _of_every_subject
        chosen = draw(cases, members, value, rng)
        if len(chosen) < len(members):
            drawn = "by whole subjects" if side == "test" else "evenly over subjects"
            how = drawn if any(cases[i].subject is not None for i in members) else "by image, as subjects are unknown"
            notes.append(
                f"{side} side: {len(chosen)} of {len(members)} images drawn {how} (share {value:g}, seed {seed})"
            )
        kept |= chosen
    return cases.with_cases((case for i, case in enumerate(cases) if i in kept), notes)


def _of_every_subject(cases: Cases, members: Iterable[int], share: float, rng: np.random.Generator) -> set[int]:
    """Of each label its share, and of each subject's images with that label the same share."""
    chosen: set[int] = set()
    for images in _grouped(members, lambda i: cases[i].label):
        places = [
            (place / len(unit), number, i)
            for number, unit in enumerate(_units(cases, images, rng))
            for place, i in enumerate(unit)
        ]
        chosen |= {i for *_, i in sorted(places)[: max(round(share * len(images)), 1)]}
    return chosen


def _whole_subjects(cases: Cases, members: Iterable[int], share: float, rng: np.random.Generator) -> set[int]:
    """The share of the subjects that have the same labels, and a few with each label in any case."""
    units = _units(cases, members, rng)
    labels = [frozenset(cases[i].label for i in unit) for unit in units]
    chosen: set[int] = set()
    for label in LABELS:
        chosen.update([number for number, found in enumerate(labels) if label in found][:LEAST_TESTED])
    for alike in _grouped(range(len(units)), lambda number: labels[number]):
        chosen.update(alike[: round(share * len(alike))])
    return {i for number in chosen for i in units[number]}


def _units(cases: Cases, members: Iterable[int], rng: np.random.Generator) -> list[list[int]]:
    """The images of each subject, or each image of which none is known; both in random order."""
    units = _grouped(members, lambda i: i if cases[i].subject is None else cases[i].subject)
    return [rng.permutation(units[number]).tolist() for number in rng.permutation(len(units))]


def _grouped(members: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Those with the same key together, in the order of their first."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for member in members:
        groups[key(member)].append(member)
    return list(groups.values())
