"""The cases that could be read with what they tell, as arrays; slices of a volume also taken together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.inspection.looks import Look

# An image is nearly constant where its values deviate by less than this share of the range of its volume, or of what
# most images of its type use. With more levels than these, whole numbers show something, if in another range.
CONSTANT, LEVELS = 0.005, 64
# Of the usual range: differences below this are none, and keep robust deviations from vanishing.
SLIGHT = 0.01


class Seen:
    """Cases and what they tell, in order.

    Args:
        cases: Those that could be read.
        looks: One for each.

    Attributes:
        cases: As given.
        looks: As given.
    """

    def __init__(self, cases: Cases, looks: Sequence[Look]) -> None:
        self.cases = cases
        self.looks = list(looks)

    def __len__(self) -> int:
        return len(self.looks)

    def values(self, what: str) -> np.ndarray:
        """An attribute of every look, ``(N,)``."""
        return np.array([getattr(look, what) for look in self.looks])

    @cached_property
    def labels(self) -> np.ndarray:
        """0 normal, 1 abnormal, −1 unknown, ``(N,)``."""
        return np.array([-1 if case.label is None else case.label for case in self.cases], int)

    @cached_property
    def wholes(self) -> list[list[int]]:
        """The indices of what belongs together: the slices of each volume; every other case is by itself."""
        found: dict[object, list[int]] = {}
        for index, case in enumerate(self.cases):
            found.setdefault(index if case.slice is None else case.path, []).append(index)
        return list(found.values())

    def of_wholes(self, what: str, joined: Callable[[np.ndarray], float] = np.mean) -> np.ndarray:
        """An attribute of every whole, one value out of those of its slices."""
        values = self.values(what)
        return np.array([joined(values[indices]) for indices in self.wholes])

    def name_of(self, whole: Sequence[int]) -> str:
        """The name of a case, or of the volume that slices are of."""
        case: Case = self.cases[whole[0]]
        return case.name if case.slice is None else case.name.rpartition("/")[0]

    @cached_property
    def reach(self) -> np.ndarray:
        """The range of values that each whole uses, in the unit of its file."""
        return np.asarray(self.of_wholes("top", np.max) - self.of_wholes("low", np.min))

    @cached_property
    def scale(self) -> float:
        """The range of values that most wholes use, in the unit of the files."""
        return _usual(self.reach)

    @cached_property
    def constant(self) -> np.ndarray:
        """Whether each image shows nothing, ``(N,)`` bool."""
        if not len(self):
            return np.zeros(0, bool)
        ranges = np.zeros(len(self))
        types = self.values("dtype")
        for whole, reach in zip(self.wholes, self.reach, strict=True):
            ranges[whole] = reach
        images = np.array([case.slice is None for case in self.cases])
        for dtype in np.unique(types[images]):
            of_type = images & (types == dtype)
            ranges[of_type] = _usual(ranges[of_type])
        few = (self.values("top") - self.values("low") <= LEVELS) | np.char.startswith(types, "float")
        return np.asarray((self.values("deviation") <= CONSTANT * ranges) & few, bool)

    def common(self, what: str) -> tuple[object, int]:
        """The most common value of an attribute, and how many have it."""
        return Counter(getattr(look, what) for look in self.looks).most_common(1)[0]


def _usual(reach: np.ndarray) -> float:
    """The median of some ranges, at least one; the largest where most are 0, and 1 where all are."""
    return float(np.median(reach)) or float(reach.max()) or 1.0


def strangeness(values: np.ndarray, least: float) -> np.ndarray:
    """How many robust standard deviations each value lies from the median.

    Args:
        values: ``(N,)``.
        least: The least deviation taken, in the unit of the values, as the values of many images are the same.
    """
    distance = np.abs(values - np.median(values))
    return np.asarray(distance / max(1.4826 * float(np.median(distance)), least))


def subject_of(case: Case) -> str:
    """The subject, or the case itself where it is unknown."""
    return case.subject if case.subject is not None else case.name
