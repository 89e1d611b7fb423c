"""The case: one image with its subject, and an ordered collection of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sanoscope.errors import DataError

SPLITS = ("train", "validation", "test")
LABELS: dict[int | None, str] = {0: "normal", 1: "abnormal", None: "unlabelled"}
# The anatomical axis that slices are cut across, as the number of the axis in canonical order: to the patient's
# right, front and head (nibabel's RAS+).
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class VolumeSlice:
    """Which slice of a volume a case is.

    Attributes:
        axis: One of ``AXES``.
        index: Position from left, back or feet, whichever way the file counts.
        count: How many slices the volume has along that axis.
    """

    axis: str
    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.axis} slice {self.index}"


@dataclass(frozen=True)
class SlideTile:
    """Which square of a slide a case is.

    Attributes:
        x: Of its left edge, in pixels of level 0.
        y: Of its upper edge, likewise.
        side: Width and height in pixels of level 0.
        size: Width and height in pixels that it is read at.
    """

    x: int
    y: int
    side: int
    size: int

    def __str__(self) -> str:
        return f"tile at x={self.x}, y={self.y}"


@dataclass(frozen=True, eq=False)
class Case:
    """One image, slice or volume with its subject.

    Attributes:
        name: Unique in its collection; a relative path without suffix, used for output files.
        path: The image file; for a slice, its volume, of a DICOM series the first file; for a tile, its slide. None for
            an array in memory.
        pixels: The image where it is already in memory, ``(H, W)`` or ``(H, W, C)``, any numeric type.
        label: 0 normal, 1 abnormal, None unknown.
        group: What the label was called in the source, such as ``"glioma"`` or ``"crack"``; None if unnamed.
        subject: The patient; None where unknown.
        split: One of ``SPLITS``, or None where not assigned.
        mask: File with the true abnormal pixels, where there is one; for a slice, a volume on the same grid; for a
            tile, the outlines in its slide.
        mask_pixels: The same, already in memory, ``(H, W)`` bool.
        position: Pixel coordinates ``(x, y)`` of a patch in its slide, where the name tells.
        slice: Which slice of the volume at ``path`` it is; None for an image of its own.
        tile: Which tile of the slide at ``path`` it is; None for an image of its own.
        problem: Of a volume or slide that could not be cut, why; reading it says so.
        foreground: File with what belongs to the body, where there is one; for a slice, a volume likewise.
    """

    name: str
    path: Path | None = None
    pixels: np.ndarray | None = field(default=None, repr=False)
    label: int | None = None
    group: str | None = None
    subject: str | None = None
    split: str | None = None
    mask: Path | None = None
    mask_pixels: np.ndarray | None = field(default=None, repr=False)
    position: tuple[int, int] | None = None
    slice: VolumeSlice | None = None
    foreground: Path | None = None
    tile: SlideTile | None = None
    problem: str | None = None

    def __str__(self) -> str:
        if self.path is None:
            return self.name
        part = self.slice or self.tile
        return str(self.path) if part is None else f"{self.path}, {part}"


class Cases(Sequence[Case]):
    """An immutable, ordered collection of cases.

    Attributes:
        source: Where they came from, for messages and provenance.
        layout: The layout that was recognised, such as ``"manifest"`` or ``"class-folders"``.
        notes: What a reader of the results should know, such as files left out while loading.
    """

    def __init__(
        self, cases: Iterable[Case], source: str = "memory", layout: str = "memory", notes: Iterable[str] = ()
    ) -> None:
        self._cases = tuple(cases)
        self.source = source
        self.layout = layout
        self.notes = tuple(notes)
        repeated = [name for name, n in Counter(case.name for case in self._cases).items() if n > 1]
        if repeated:
            raise DataError(f"{source}: the case '{repeated[0]}' appears more than once; names must be unique")

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's overloads add nothing here
        """The case at an integer index, or a new collection for a slice or a sequence of indices."""
        if isinstance(index, int | np.integer):
            return self._cases[int(index)]
        if isinstance(index, slice):
            return self.with_cases(self._cases[index])
        return self.with_cases(self._cases[int(i)] for i in index)

    def __repr__(self) -> str:
        return f"Cases({self.describe()})"

    def with_cases(self, cases: Iterable[Case], notes: Iterable[str] = ()) -> Cases:
        """The same source and layout with other cases, and further notes."""
        return Cases(cases, self.source, self.layout, (*self.notes, *notes))

    def where(self, keep: Callable[[Case], bool]) -> Cases:
        """The cases for which ``keep`` holds, in order."""
        return self.with_cases(case for case in self._cases if keep(case))

    def in_split(self, split: str) -> Cases:
        """The cases of one side: ``train``, ``validation`` or ``test``."""
        if split not in SPLITS:
            raise DataError(f"unknown split '{split}'; one of {', '.join(SPLITS)}")
        return self.where(lambda case: case.split == split)

    @property
    def train(self) -> Cases:
        """The training side. It may hold abnormal cases; ``Detector.fit`` leaves them out and says so."""
        return self.in_split("train")

    @property
    def validation(self) -> Cases:
        """The side that thresholds are fitted on."""
        return self.in_split("validation")

    @property
    def test(self) -> Cases:
        """The side that results are reported on."""
        return self.in_split("test")

    @property
    def normals(self) -> Cases:
        """Cases labelled normal, and those without a label."""
        return self.where(lambda case: case.label != 1)

    def unlabelled(self) -> Cases:
        """The same cases on the same sides, without labels, groups and masks: for what must not see them."""
        return self.with_cases(
            replace(case, label=None, group=None, mask=None, mask_pixels=None) for case in self._cases
        )

    @property
    def labels(self) -> list[int | None]:
        """Labels in order; None where unknown."""
        return [case.label for case in self._cases]

    @property
    def subjects(self) -> list[str | None]:
        """Subjects in order; None where unknown."""
        return [case.subject for case in self._cases]

    @property
    def is_split(self) -> bool:
        """Whether any case is assigned to a side."""
        return any(case.split is not None for case in self._cases)

    def assign(self, splits: Sequence[str | None], notes: Iterable[str] = ()) -> Cases:
        """The same cases with their sides replaced, in order."""
        pairs = zip(self._cases, splits, strict=True)
        return self.with_cases((replace(case, split=split) for case, split in pairs), notes)

    def describe(self) -> str:
        """One line: how many images, of which labels and sides, from how many subjects."""
        labels = Counter(LABELS[case.label] for case in self._cases)
        parts = [f"{len(self)} images", ", ".join(f"{n} {label}" for label, n in sorted(labels.items()))]
        subjects = {case.subject for case in self._cases if case.subject is not None}
        parts.append(f"{len(subjects)} subjects" if subjects else "subjects unknown")
        if self.is_split:
            sides = Counter(case.split for case in self._cases)
            parts.append(", ".join(f"{side} {sides[side]}" for side in SPLITS if sides[side]))
        return "; ".join(part for part in parts if part)
