"""The few known anomalies that configurations are ranked by, and what is left for the final test without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import DataError, OptionError, nearest

UNNAMED = "abnormal"


@dataclass(frozen=True)
class SearchCases:
    """A collection on the sides that a search gives it.

    Attributes:
        cases: All of them, on no side what neither search nor test may see. Known anomalies are on the side that they
            came from, or on the validation side if that was the test; no other anomaly is on the validation side.
        known: The known anomalies, in the order of ``FoldResult.known``.
        notes: What a reader of the results should know of this division.
    """

    cases: Cases
    known: Cases
    notes: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each known anomaly."""
        return tuple(kind_of(case) for case in self.known)


def kind_of(case: Case) -> str:
    """What kind of anomaly it is: its group, where that is named."""
    return case.group or UNNAMED


def divide(cases: Cases, kinds: Sequence[str], number: int, seed: int) -> SearchCases:
    """Draw the known anomalies and keep the final test apart from them.

    They come from the training and validation sides, or where these have none from the test side, then from at most
    half of its abnormal subjects. The final test is without any anomaly of their kinds, as long as others remain, and
    without their subjects.

    Args:
        cases: On their sides.
        kinds: Which kinds are known; where there are none one kind is chosen by the seed.
        number: How many, at most; 0 for none.
        seed: Chooses them.

    Raises:
        DataError: If no abnormal case is there to be known.
        OptionError: If there is no such kind.
    """
    if not number:
        return SearchCases(_without_others(cases, (), ()), cases[:0], ("the search knows no anomaly",))
    chosen, pool, side = _pool(cases, kinds, seed)
    generator = np.random.default_rng([seed, 6])
    known = _spread([case for case in pool if kind_of(case) in chosen], number, generator)
    names = {case.name for case in known}
    kept, notes = _final_test(cases, chosen, known)
    count = ", ".join(f"{count} {kind}" for kind, count in Counter(map(kind_of, known)).items())
    notes = [f"known anomalies: {count}, from the {side}; used to rank configurations and to set thresholds", *notes]
    divided = _without_others(cases, names, kept)
    return SearchCases(divided, divided.where(lambda case: case.name in names), tuple(notes))


def _pool(cases: Cases, kinds: Sequence[str], seed: int) -> tuple[set[str], list[Case], str]:
    """The known kinds, the cases they can be drawn from, and where these are."""
    abnormal = [case for case in cases if case.label == 1 and case.split is not None]
    if not abnormal:
        raise DataError(
            f"{cases.source}: no image is labelled abnormal, so none can be known; "
            "--criterion validation-loss needs none"
        )
    have = sorted({kind_of(case) for case in abnormal})
    if unknown := [kind for kind in kinds if kind not in have]:
        raise OptionError(f"--known-kinds: there is no kind '{unknown[0]}'; {nearest(unknown[0], have)}")
    learned = [case for case in abnormal if case.split != "test"]
    wanted = set(kinds) or set(have)
    if pool := [case for case in learned if kind_of(case) in wanted]:
        side = "training and validation sides"
    else:
        pool, side = _half_of_units([case for case in abnormal if kind_of(case) in wanted], seed), "test side"
        if not pool:
            raise DataError(
                f"{cases.source}: the abnormal images are of one subject on the test side, so none can be known apart "
                "from it; put some on the validation side, or use --criterion validation-loss"
            )
    there = sorted({kind_of(case) for case in pool})
    chosen = set(kinds) or {there[np.random.default_rng([seed, 5]).integers(len(there))]}
    return chosen, pool, side


def _half_of_units(cases: Sequence[Case], seed: int) -> list[Case]:
    """The cases of half of each kind's subjects, rounded down; of half of the images where no subject is known."""
    generator = np.random.default_rng([seed, 4])
    half: list[Case] = []
    for kind in sorted(set(map(kind_of, cases))):
        of_kind = [case for case in cases if kind_of(case) == kind]
        units = list(dict.fromkeys(map(_unit, of_kind)))
        chosen = {units[i] for i in generator.permutation(len(units))[: len(units) // 2]}
        half += [case for case in of_kind if _unit(case) in chosen]
    return half


def _unit(case: Case) -> Hashable:
    """What the final test is kept apart from: the subject, or the image where none is known."""
    return ("image", case.name) if case.subject is None else ("subject", case.subject)


def _spread(cases: Sequence[Case], number: int, generator: np.random.Generator) -> list[Case]:
    """So many cases, or all: in turn of each kind, and of each subject within a kind."""
    shuffled = [cases[i] for i in generator.permutation(len(cases))]
    by_subject = _in_turn(shuffled, lambda case: (kind_of(case), _unit(case)))
    return _in_turn(by_subject, kind_of)[:number]


def _in_turn(cases: Sequence[Case], key: Callable[[Case], Hashable]) -> list[Case]:
    """The first case of each key, then the second of each, and so on."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for case in cases:
        turns.append(seen[key(case)])
        seen[key(case)] += 1
    return [cases[i] for i in np.argsort(turns, kind="stable")]


def _final_test(cases: Cases, kinds: set[str], known: Sequence[Case]) -> tuple[set[str], list[str]]:
    """Names of what the final test keeps, and what to say of it."""
    test = cases.test
    units = {_unit(case) for case in known}
    others = [case for case in test if case.label == 1 and kind_of(case) not in kinds]
    kept = [case for case in test if _unit(case) not in units]
    listed = ", ".join(sorted(kinds))
    if others:
        kept = [case for case in kept if case.label != 1 or kind_of(case) not in kinds]
        notes = [f"the final test has no anomaly of the known kinds ({listed})"]
    else:
        notes = [
            f"the final test has anomalies of the known kinds ({listed}) alone, as the data name no others; it is "
            "without the known images and their subjects, but says nothing of kinds that the search has never seen"
        ]
    dropped = sum(case.label != 1 for case in test) - sum(case.label != 1 for case in kept)
    if dropped:
        notes.append(f"{dropped} normal images of the known anomalies' subjects were left out of the final test")
    if not {0, 1} <= {case.label for case in kept}:
        notes.append("the final test has not both normal and abnormal images, so it has no AUROC")
    return {case.name for case in kept}, notes


def _without_others(cases: Cases, known: Collection[str], kept: Collection[str]) -> Cases:
    """The cases with what neither search nor test may see on no side, and what is known of the test on validation."""

    def side(case: Case) -> str | None:
        if case.split == "test" and known:
            return "validation" if case.name in known else "test" if case.name in kept else None
        return None if case.split == "validation" and case.label == 1 and case.name not in known else case.split

    return cases.with_cases(replace(case, split=side(case)) for case in cases)
