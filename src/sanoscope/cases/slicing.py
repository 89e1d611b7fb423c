"""Which parts of files are cases: slices of a volume, tiles of a slide, images of a collection with several kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sanoscope.cases.case import AXES
from sanoscope.cases.tiling import Tiling
from sanoscope.errors import OptionError, nearest

MODALITIES = ("flair", "t1", "t1ce", "t2")  # as BraTS calls them
VIEWS = ("all", "PA", "AP")  # of a chest X-ray: from behind, or from the front
IDENTITIES = ("pseudonym", "patient-id")  # of patients in DICOM files
CENTRAL = re.compile(r"central:([1-9]\d*)")
RANGE = re.compile(r"(-?\d+)?:(-?\d+)?")


@dataclass(frozen=True)
class Slicing:
    """How volumes are sliced, and which images are picked where a layout has several kinds.

    Attributes:
        axis: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        slices: ``"all"``; ``"central:N"``, the N in the middle; or ``"start:stop"`` as Python counts, from
            feet, back or left, negative numbers from the other end.
        modality: Which image of a case is read where a layout has several.
        view: Which images of a collection are read, as modality says it of a case: ``"PA"``, ``"AP"`` or ``"all"``.
            Layouts that know no views read all.
        identity: What subjects of DICOM files are called: ``"pseudonym"``, or ``"patient-id"`` as in the files.
        tiling: How slides are cut into tiles.
    """

    axis: str = "axial"
    slices: str = "all"
    modality: str = "flair"
    view: str = "all"
    identity: str = "pseudonym"
    tiling: Tiling = field(default_factory=Tiling)

    def __post_init__(self) -> None:
        for name, known in (("axis", AXES), ("modality", MODALITIES), ("view", VIEWS), ("identity", IDENTITIES)):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(f"data.{name}={value} is unknown; {nearest(value, list(known))}")
        if self.slices != "all" and not CENTRAL.fullmatch(self.slices) and not RANGE.fullmatch(self.slices):
            raise OptionError(f"data.slices={self.slices} is not understood; write all, central:10 or 20:-20")

    def positions(self, count: int) -> range:
        """The chosen of ``count`` slices. Of an even number in an odd count, the middle lies one further up.

        For 155 slices ``central:10`` is 73 to 82, as in paper E.
        """
        if found := CENTRAL.fullmatch(self.slices):
            chosen = min(int(found[1]), count)
            start = (count - chosen + 1) // 2
            return range(start, start + chosen)
        if found := RANGE.fullmatch(self.slices):
            ends = [int(number) if number else None for number in found.groups()]
            return range(count)[slice(*ends)]
        return range(count)
