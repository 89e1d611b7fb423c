"""Small pictures of cases for an inspection's page: some drawn evenly, and the suspicious ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sanoscope.cases.pixels import read_case
from sanoscope.errors import ImageError
from sanoscope.inspection.labels import class_of
from sanoscope.inspection.seen import Seen
from sanoscope.preparation.resizing import resize
from sanoscope.report.images import display_file

LONGEST = 128  # side of a picture on the page, in pixels
EVENLY = 32
OF_A_SUSPICION = 8


@dataclass(frozen=True)
class Picture:
    """One case on the page.

    Attributes:
        pixels: ``(h, w, 3)`` uint8.
        name: Of the case.
        said: Its class and subject, where they are known.
    """

    pixels: np.ndarray
    name: str
    said: str


def evenly(seen: Seen) -> list[int]:
    """The indices of some cases, drawn evenly from the first to the last."""
    places = np.linspace(0, len(seen) - 1, min(EVENLY, len(seen))).round()
    return [int(place) for place in np.unique(places)]


def of_names(seen: Seen, names: Sequence[str]) -> list[int]:
    """The indices of the first few named cases; of a named volume, its middle slice."""
    known = {case.name: index for index, case in enumerate(seen.cases)}
    middles = {seen.name_of(whole): whole[len(whole) // 2] for whole in seen.wholes}
    found = [known.get(name, middles.get(name)) for name in names]
    return [index for index in found if index is not None][:OF_A_SUSPICION]


def pictures_of(seen: Seen, indices: Sequence[int]) -> dict[int, Picture]:
    """The pictures of cases by index, read again; those that can no longer be read are left out."""
    pictures = {}
    for index in sorted({*indices}):  # neighbouring slices are of one volume
        case = seen.cases[index]
        try:
            pixels = _thumbnail(read_case(case))
        except ImageError:
            continue
        unknown = case.label is None and case.group is None
        said = ", ".join(part for part in ("" if unknown else class_of(case), case.subject) if part)
        pictures[index] = Picture(pixels, case.name, said)
    return pictures


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    step = max(max(height, width) // (4 * LONGEST), 1)
    shown = display_file(pixels[::step, ::step])
    longest = max(shown.shape[:2])
    if longest <= LONGEST:
        return shown
    size = [max(round(side * LONGEST / longest), 1) for side in shown.shape[:2]]
    return resize(shown, (size[0], size[1]), "bicubic")
