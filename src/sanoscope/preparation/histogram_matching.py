"""A step on one image at a time: its histogram made that of a reference slice, and how the reference is chosen."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import DataError
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Geometry, Picture, StillStep

# The reference's histogram is kept as its quantiles at these shares, a thousandth apart.
SHARES = np.linspace(0, 1, 1025)
# A slice with less of it than this shows too little to be like; the ends of a head are such.
LEAST_FOREGROUND = 0.05
# The number of a slice is the last one in its name.
NUMBER = re.compile(r"(\d+)\D*$")
# Where in its volume a slice lies that does not say so: no nearer to the centre than the ends are.
UNKNOWN = 0.5


@dataclass(frozen=True)
class HistogramMatching(StillStep):
    """Give the foreground the histogram of the reference's foreground; the background becomes 0.

    It stands after the foreground is found and the image is on its own scale, as the reference is on that scale
    too, and before cropping and resizing, since interpolation mixes body with background and makes values that no
    histogram of the file holds. The channels of an image have one histogram together.

    Values are mapped as by scikit-image's ``match_histograms``: one that a share of the foreground does not exceed
    becomes the value that the same share of the reference does not exceed.

    Attributes:
        quantiles: Of the reference at ``SHARES``.
        reference: Name of the case.
    """

    quantiles: tuple[float, ...]
    reference: str = ""

    def apply(self, picture: Picture) -> Picture:
        """The picture with matched values, float32."""
        inside = np.ones(picture.pixels.shape[:2], bool) if picture.foreground is None else picture.foreground
        _, lookup, counts = np.unique(picture.pixels[inside], return_inverse=True, return_counts=True)
        levels = np.interp(np.cumsum(counts) / counts.sum(), SHARES, self.quantiles) if counts.size else counts
        pixels = np.zeros_like(picture.pixels, np.float32)
        pixels[inside] = levels[lookup].reshape(-1, picture.pixels.shape[2])
        return replace(picture, pixels=pixels, trace=(*picture.trace, ()))


def quantiles_of(values: np.ndarray) -> tuple[float, ...]:
    """The least values that ``SHARES`` of all do not exceed, interpolated between the values there are."""
    levels, counts = np.unique(values, return_counts=True)
    return tuple(np.interp(SHARES, np.cumsum(counts) / counts.sum(), levels.astype(np.float64)).tolist())


def match_to_reference(cases: Cases, geometry: Geometry) -> HistogramMatching:
    """The step towards the normal slice nearest the centre of its volume; of several, the first by name.

    Args:
        cases: Training cases; the reference is none of the abnormal ones.
        geometry: The steps before matching.

    Raises:
        DataError: If no slice shows enough foreground.
    """
    normals = cases.normals
    ranked = sorted(zip(from_centre(normals), normals, strict=True), key=lambda pair: (pair[0], pair[1].name))
    for _, case in ranked:
        pictures = decode(Cases([case]), geometry)
        if not len(pictures):
            continue
        pixels, foreground = pictures.batch([0])
        if foreground is None or foreground.mean() >= LEAST_FOREGROUND:
            return HistogramMatching(quantiles_of(pixels if foreground is None else pixels[foreground]), case.name)
    raise DataError(
        f"{cases.source}: no normal image can be read and has foreground on {LEAST_FOREGROUND:.0%} of it, to match "
        "histograms to; set preparation.matching=none, or preparation.foreground"
    )


def from_centre(cases: Cases) -> list[float]:
    """How far from the centre of its volume each case lies: 0 at the centre, 0.5 at an end or where that is unknown.

    A slice of a volume knows its place. Of images with a number in their name, a subject's first and last number are
    taken for the ends.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for case in cases:
        if case.subject is not None and (number := _number(case)) is not None:
            numbers[case.subject].append(number)
    return [_from_centre(case, numbers.get(case.subject or "", [])) for case in cases]


def _number(case: Case) -> int | None:
    found = NUMBER.search(case.name)
    return int(found.group(1)) if found else None


def _from_centre(case: Case, numbers: list[int]) -> float:
    if case.slice is not None:
        return abs(2 * case.slice.index + 1 - case.slice.count) / (2 * case.slice.count)
    number = _number(case)
    if number is None or len(set(numbers)) < 3:  # fewer have no middle
        return UNKNOWN
    first, last = min(numbers), max(numbers)
    return abs(2 * number - first - last) / (2 * (last - first))  # whole numbers, so that both sides can tie
