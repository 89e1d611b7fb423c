"""Where the frames of DICOM files lie in the patient, and the grid that they make (PS3.3, C.7.6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.dicom_header import group_of, numbers
from sanoscope.cases.layouts.groups import listed

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# From DICOM's left, back and head to right, front and head.
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Headers give millimetres and cosines with a few digits.
SAME_PLACE = 0.01  # millimetres
SAME_DIRECTION = 1e-3  # of a cosine
SAME_STEP = 0.01  # of the usual step between slices
TILT = 1.0  # degrees from which slices are said to be shifted against each other


@dataclass(frozen=True, eq=False)
class Plane:
    """How a frame lies.

    Attributes:
        directions: ``(2, 3)``, unit vectors along a row (to the next column) and down a column, to left, back, head.
        position: ``(3,)`` of the centre of the first pixel, in millimetres.
        spacing: Millimetres from row to row, and from column to column.
        step: Millimetres to the next slice, where the header tells; else 1.
    """

    directions: np.ndarray
    position: np.ndarray
    spacing: tuple[float, float]
    step: float

    @property
    def normal(self) -> np.ndarray:
        """The unit vector ``(3,)`` that slices are ordered along."""
        return np.cross(*self.directions)

    def is_parallel(self, other: Plane) -> bool:
        """Whether two frames could be slices of one volume."""
        same_spacing = np.allclose(self.spacing, other.spacing, rtol=SAME_DIRECTION, atol=0)
        return same_spacing and np.allclose(self.directions, other.directions, rtol=0, atol=SAME_DIRECTION)


def plane_of(dataset: Dataset, frame: int) -> Plane | None:
    """How a frame lies in the patient; None where the header does not tell, or tells what cannot be."""
    position = numbers(group_of(dataset, frame, "PlanePositionSequence"), "ImagePositionPatient", 3)
    orientation = numbers(group_of(dataset, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    row_spacing, column_spacing, step = spacing_of(dataset, frame)
    if not (position and orientation and row_spacing > 0 and column_spacing > 0):
        return None
    directions = np.array(orientation).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(directions[0] @ directions[1]) > 0.01:
        return None
    return Plane(directions / lengths[:, None], np.array(position), (row_spacing, column_spacing), step)


def spacing_of(dataset: Dataset, frame: int) -> tuple[float, float, float]:
    """Millimetres between rows, columns and slices; 0, 0 and 1 where the header does not tell."""
    measures = group_of(dataset, frame, "PixelMeasuresSequence")
    rows, columns = numbers(measures, "PixelSpacing", 2) or (0.0, 0.0)
    told = (numbers(measures, keyword, 1) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    step = next((abs(value[0]) for value in told if value and value[0]), 1.0)
    return rows, columns, step


def distances(planes: Sequence[Plane]) -> np.ndarray:
    """How far frames lie along the normal of the first, in millimetres."""
    return np.asarray(np.array([plane.position for plane in planes]) @ planes[0].normal)


def affine_of(planes: Sequence[Plane]) -> np.ndarray:
    """From indices of column, row and slice to millimetres towards right, front and head, ``(4, 4)``.

    Slices are taken to be equally far apart, from the first to the last.
    """
    first, last = planes[0], planes[-1]
    step = (last.position - first.position) / (len(planes) - 1) if len(planes) > 1 else first.normal * first.step
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return TO_RAS @ affine


def unplaced(spacing: tuple[float, float, float]) -> np.ndarray:
    """The affine of frames that have no place in the patient: their axial slices are shown as the frames are."""
    rows, columns, step = spacing
    return TO_RAS @ np.diag([columns or 1.0, rows or 1.0, step, 1.0])


def irregularities(planes: Sequence[Plane]) -> list[str]:
    """What is wrong with the places of slices in their order: gaps, uneven spacing, and a tilt against their normal."""
    if len(planes) < 2:
        return []
    notes = []
    places = distances(planes)
    steps = np.abs(np.diff(places))
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > max(SAME_STEP * usual, 2 * SAME_PLACE))
    wide = [i for i in odd if steps[i] > 1.5 * usual]
    if wide:
        where = (f"{steps[i]:.4g} mm between slices {i} and {i + 1} at {places[i]:.4g} mm" for i in wide)
        notes.append(f"gaps where slices are {usual:.4g} mm apart: {listed(where, 3)}")
    if uneven := [i for i in odd if i not in wide]:
        where = (f"{steps[i]:.4g} mm at {places[i]:.4g} mm" for i in uneven)
        notes.append(f"uneven steps where slices are {usual:.4g} mm apart: {listed(where, 3)}")
    shift = planes[-1].position - planes[0].position
    across = np.linalg.norm(shift - (shift @ planes[0].normal) * planes[0].normal)
    tilt = np.degrees(np.arctan2(across, abs(shift @ planes[0].normal)))
    if tilt > TILT:
        notes.append(f"slices are shifted against each other, as by a gantry tilted by {tilt:.3g}°")
    return notes
