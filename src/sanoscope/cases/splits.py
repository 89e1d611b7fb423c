"""Splits: which case is trained on, which sets the threshold, which is reported on.

A unit (a subject; an image where none is known or ``by="image"`` is asked for) goes to one side as a whole.
Units are dealt out in a seeded random order, each to the side that lacks most of what the unit holds, normal
and abnormal images counted apart; of several orders the one that meets the shares best is kept. Dealing in
order of size would be closer still, but would put the largest subjects into training whatever the seed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from sanoscope.cases.case import LABELS, SPLITS, Case, Cases
from sanoscope.errors import DataError, OptionError, nearest

BY = ("subject", "image")

# Few units need luck to be dealt out evenly, and cost nothing; many come out even at the first attempt.
ATTEMPTS = 200
CLOSE_ENOUGH = 0.01  # of the images of a class; a side that is nearer to its share ends the search


def hold_out(cases: Cases, validation: float = 0.1, test: float = 0.1, seed: int = 0, by: str = "subject") -> Cases:
    """The cases assigned to training, validation and test.

    Shares hold for images, and for normal and abnormal ones apart, as nearly as whole subjects allow. Each
    side gets a unit at least, training one with normals where there is any.

    Args:
        cases: What to split; sides they have are forgotten.
        validation: Share of the images, 0 for none. The defaults are paper A's 80/10/10.
        test: Likewise.
        seed: Chooses the split. The same cases in the same order give the same split.
        by: ``"subject"``, or ``"image"`` to let a subject be on several sides.

    Raises:
        OptionError: A share or ``by`` that cannot be.
        DataError: Fewer subjects than sides.
    """
    shares = dict(zip(SPLITS, _shares(validation, test), strict=True))
    sides = [side for side, share in shares.items() if share > 0]
    units, counts = _units(cases, by)
    if len(counts) < len(sides):
        raise DataError(_too_few(cases, len(counts), f"{len(sides)} sides ({', '.join(sides)})", by))
    dealt = _deal(counts, [shares[side] for side in sides], seed)[units]
    split = cases.assign([sides[side] for side in dealt], _notes(cases, seed, by))
    return split.with_cases(split, _lacking(split, sides))


def k_fold(cases: Cases, folds: int = 5, seed: int = 0, by: str = "subject", validation: float = 0.0) -> list[Cases]:
    """The cases once a fold, that fold being the test side and the others the training side.

    Args:
        cases: What to split; sides they have are forgotten.
        folds: How many, 2 or more.
        seed: Chooses the split.
        by: ``"subject"`` or ``"image"``.
        validation: Share of the other folds' images that becomes the validation side.

    Raises:
        OptionError: ``folds``, ``validation`` or ``by`` that cannot be.
        DataError: Fewer subjects than folds, or than sides within one.
    """
    shares = _shares(validation, 0)[:2] if validation else [1.0]
    units, counts, fold_of = _deal_folds(cases, folds, seed, by, least=2)
    splits = []
    for fold in range(folds):
        rest = np.flatnonzero(fold_of != fold)
        if len(rest) < len(shares):
            raise DataError(_too_few(cases, len(counts), f"{folds} folds with a validation side", by))
        sides = np.full(len(counts), SPLITS.index("test"))
        sides[rest] = _deal(counts[rest], shares, [seed, fold])
        splits.append(_on_sides(cases, sides[units], [f"fold {fold + 1} of {folds}", *_notes(cases, seed, by)]))
    return splits


def rotating_folds(cases: Cases, folds: int = 5, seed: int = 0, by: str = "subject") -> list[Cases]:
    """The cases once a fold, that fold being the test side, the next one the validation side, the others for training.

    Each case is tested once and validated on once.

    Args:
        cases: What to split; sides they have are forgotten.
        folds: How many, 3 or more.
        seed: Chooses the split.
        by: ``"subject"`` or ``"image"``.

    Raises:
        OptionError: ``folds`` or ``by`` that cannot be.
        DataError: Fewer subjects than folds.
    """
    units, _, fold_of = _deal_folds(cases, folds, seed, by, least=3)
    test, validation, train = map(SPLITS.index, ("test", "validation", "train"))
    splits = []
    for fold in range(folds):
        sides = np.select([fold_of == fold, fold_of == (fold + 1) % folds], [test, validation], train)
        splits.append(_on_sides(cases, sides[units], [f"fold {fold + 1} of {folds}", *_notes(cases, seed, by)]))
    return splits


def add_validation(cases: Cases, share: float = 0.1, seed: int = 0) -> Cases:
    """The cases with a share of the training normals' subjects moved to validation, where that side is empty.

    A subject moves with all its training images. Cases are returned as they are where there is nothing to
    move: no training normals, or all of one subject.
    """
    normals = [i for i, case in enumerate(cases) if case.split == "train" and case.label != 1]
    units, counts = _units(cases[normals], "subject")
    if share <= 0 or len(cases.validation) or len(counts) < 2:
        return cases
    goes = _deal(counts, [1 - share, share], seed)[units] == 1
    moved = {_key(cases[i], i, "subject") for i, moves in zip(normals, goes, strict=True) if moves}
    splits = [
        "validation" if case.split == "train" and _key(case, i, "subject") in moved else case.split
        for i, case in enumerate(cases)
    ]
    count = splits.count("validation")
    return cases.assign(splits, [f"the source has no validation side: {count} training images moved to it"])


def on_several_sides(cases: Cases) -> dict[str, Counter[str]]:
    """The subjects with images on more than one side, and how many on each."""
    sides: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        if case.subject is not None and case.split is not None:
            sides[case.subject][case.split] += 1
    return {subject: count for subject, count in sides.items() if len(count) > 1}


def check_subjects(cases: Cases) -> None:
    """Refuse a collection that has a subject on two sides.

    Raises:
        DataError: Names the first such subject and how many there are.
    """
    if shared := on_several_sides(cases):
        subject, count = next(iter(shared.items()))
        where = " and ".join(f"{side} ({count[side]} images)" for side in SPLITS if count[side])
        more = f", and {len(shared) - 1} other subjects likewise" if len(shared) > 1 else ""
        raise DataError(
            f"{cases.source}: subject '{subject}' is on two sides: {where}{more}; "
            f"put each subject on one side, or ask for split='image'"
        )


def _shares(validation: float, test: float) -> list[float]:
    """The shares of training, validation and test."""
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise OptionError(f"validation={validation}, test={test}: each must be at least 0 and their sum below 1")
    return [1 - validation - test, validation, test]


def _deal_folds(cases: Cases, folds: int, seed: int, by: str, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``_units`` gives, and the fold of each unit, ``(U,)``, of ``least`` folds or more.

    Raises:
        OptionError: Too few folds, or ``by`` that cannot be.
        DataError: Fewer units than folds.
    """
    if folds < least:
        raise OptionError(f"folds={folds}: at least {least} are needed")
    units, counts = _units(cases, by)
    if len(counts) < folds:
        raise DataError(_too_few(cases, len(counts), f"{folds} folds", by))
    return units, counts, _deal(counts, [1 / folds] * folds, seed)


def _on_sides(cases: Cases, sides: np.ndarray, notes: Sequence[str]) -> Cases:
    """The cases on sides by their numbers ``(N,)`` in ``SPLITS``, with a note on each side that lacks a class."""
    split = cases.assign([SPLITS[side] for side in sides], notes)
    return split.with_cases(split, _lacking(split, [side for side in SPLITS if split.in_split(side)]))


def _units(cases: Cases, by: str) -> tuple[np.ndarray, np.ndarray]:
    """The unit of each case, ``(N,)``, and how many normal and abnormal images each unit has, ``(U, 2)``.

    Images without a label count as normal, as they do in training.
    """
    if by not in BY:
        raise OptionError(f"cannot split by '{by}'; {nearest(by, list(BY))}")
    known: dict[object, int] = {}
    keys = (_key(case, i, by) for i, case in enumerate(cases))
    units = np.array([known.setdefault(key, len(known)) for key in keys], int)
    abnormal = np.array([case.label == 1 for case in cases], bool)
    counts = [np.bincount(units[side], minlength=len(known)) for side in (~abnormal, abnormal)]
    return units, np.stack(counts, axis=1).astype(float)


def _key(case: Case, index: int, by: str) -> str | int:
    return index if by == "image" or case.subject is None else case.subject


def _deal(counts: np.ndarray, shares: Sequence[float], seed: int | Sequence[int]) -> np.ndarray:
    """The side of each unit, ``(U,)``, so that each side has its share of each column of ``counts``."""
    if np.min(seed) < 0:
        raise OptionError(f"seed={seed}: must not be negative")
    rng = np.random.default_rng(seed)
    totals = np.maximum(counts.sum(axis=0), 1)
    best: tuple[tuple[float, ...], np.ndarray] | None = None
    for _ in range(ATTEMPTS):
        sides = _deal_in_order(counts, shares, rng.permutation(len(counts)))
        got = np.array([counts[sides == side].sum(axis=0) for side in range(len(shares))])
        wanted = np.outer(shares, counts.sum(axis=0))
        lacking = (got == 0) & (wanted > 0)
        # Training must have normals before all else; then every side both classes; then the shares.
        badness = (float(lacking[0, 0]), float(lacking.sum()), float((((got - wanted) / totals) ** 2).sum()))
        if best is None or badness < best[0]:
            best = badness, sides
        if not lacking.any() and (np.abs(got - wanted) <= np.maximum(1, CLOSE_ENOUGH * totals)).all():
            break
    assert best is not None
    return best[1]


def _deal_in_order(counts: np.ndarray, shares: Sequence[float], order: np.ndarray) -> np.ndarray:
    """One attempt: first a unit to each side, to training one with normals; then each where it lacks most."""
    with_normals = np.flatnonzero(counts[order, 0])
    if len(with_normals):
        order = np.r_[order[with_normals[0]], np.delete(order, with_normals[0])]
    totals = counts.sum(axis=0)
    weighted = counts / np.maximum(totals, 1) ** 2
    lacked = np.outer(shares, totals)  # (sides, 2)
    sides = np.empty(len(counts), int)
    for turn, unit in enumerate(order):
        side = turn if turn < len(shares) else int(np.argmax(lacked @ weighted[unit]))
        sides[unit] = side
        lacked[side] -= counts[unit]
    return sides


def _too_few(cases: Cases, units: int, places: str, by: str) -> str:
    if by == "image" or not any(cases.subjects):
        return f"{cases.source}: {units} images are too few for {places}; assign sides in a manifest, or fewer"
    return (
        f"{cases.source}: {units} subjects are too few for {places}; "
        f"split by image with split='image', or assign sides in a manifest"
    )


def _notes(cases: Cases, seed: int, by: str) -> list[str]:
    unknown = sum(subject is None for subject in cases.subjects)
    if unknown == len(cases):
        return [f"split by image with seed {seed}, as subjects are unknown"]
    if by == "image":
        return [f"split by image with seed {seed}: images of one subject may be on several sides"]
    notes = [f"split by subject with seed {seed}"]
    if unknown:
        notes.append(f"images without a subject, each split on its own: {unknown}")
    return notes


def _lacking(cases: Cases, sides: Sequence[str]) -> list[str]:
    """Which sides are without a class that the collection has."""
    have = Counter((case.split, case.label) for case in cases)
    return [
        f"the {side} side has no {LABELS[label]} images"
        for side in sides
        for label in (0, 1)
        if not have[side, label] and any(have[other, label] for other in sides)
    ]
