"""Classes: what the labelled images of a collection show, by which clusters are named and judged."""

from __future__ import annotations

import numpy as np

from sanoscope.cases.case import LABELS, Case, Cases
from sanoscope.decision.checks import UNKNOWN


def classes_of(cases: Cases) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the classes, and the class of each case.

    Where any case names its group, groups are the classes, and a case without one has its label's name; otherwise they
    are normal and abnormal, both of them even if only one is there. Classes with normal images come first, then they
    are in the order of their names.

    Returns:
        The names, none where nothing is known of any case, and codes ``(N,)`` int64 of cases in order, −1 unknown.
    """
    grouped = any(case.group for case in cases)
    named = [_class_name(case, grouped) for case in cases]
    present = {name for name in named if name is not None}
    if grouped:
        normal = {name for name, case in zip(named, cases, strict=True) if case.label == 0}
        names = tuple(sorted(present, key=lambda name: (name not in normal, name)))
    else:
        names = (LABELS[0], LABELS[1]) if present else ()
    numbers = {None: UNKNOWN} | {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[name] for name in named], np.int64)


def _class_name(case: Case, grouped: bool) -> str | None:
    if grouped and case.group:
        return case.group
    return None if case.label is None else LABELS[case.label]
