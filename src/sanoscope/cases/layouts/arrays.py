"""Cases in memory out of the arrays of a benchmark: classes are groups of which one is normal, its sides the split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import labels_of_groups

Side = tuple[np.ndarray, Sequence[str]]
"""Images ``(N, H, W, C)`` and the class of each."""


def cases_of_arrays(
    sides: Mapping[str, Side], normal: str | None, source: Path, layout: str, notes: Iterable[str] = ()
) -> Cases:
    """The images of all sides, each a view of the array that it is in.

    Args:
        sides: By the name of the split.
        normal: The class to be taken as normal.
        source: Where they were read.
        layout: Its name.
        notes: See ``Cases``.

    Raises:
        OptionError: ``normal`` is none of the classes.
        DataError: It is None, and no class is named like a normal one.
    """
    label_of = labels_of_groups((group for _, groups in sides.values() for group in groups), normal, source)
    cases = (
        Case(f"{split}/{i:05d}", pixels=pixels, label=label_of[group], group=group, split=split)
        for split, (images, groups) in sides.items()
        for i, (pixels, group) in enumerate(zip(images, groups, strict=True))
    )
    return Cases(cases, str(source), layout, notes)
