"""BraTS: a folder for each case with a volume for each modality, ``<case>/<case>_flair.nii.gz``, and ``_seg``.

Menze et al., IEEE Transactions on Medical Imaging 2015. The folders of 2018 and 2019 have ``HGG`` and ``LGG``
above the cases.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.layouts.listing import list_images
from sanoscope.cases.slicing import MODALITIES, Slicing
from sanoscope.errors import DataError, OptionError

name = "brats"

TRUTH = "seg"
KINDS = "|".join((*MODALITIES, TRUTH))
FILE = re.compile(rf"(?:.*/)?(?P<case>[^/]+)/(?P=case)_(?P<kind>{KINDS})\.nii(?:\.gz)?")
PLACES = ("*.nii*", "*/*.nii*", "*/*/*.nii*")  # one case, many, or many below HGG and LGG


def recognises(path: Path) -> bool:
    """A folder with a case, that is a case, or with cases one folder further down."""
    return path.is_dir() and any(_match(file, path) for place in PLACES for file in path.glob(place))


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The volume of one modality of each case, with its segmentation; the subject is the case.

    Raises:
        OptionError: ``normal`` is given; what is abnormal is told by the segmentations.
        DataError: No case has the modality.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; slices without a tumour are normal")
    listing = list_images(path)
    volumes: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    others = 0
    for file in listing.files:
        if found := _match(path / file, path):
            volumes[found["case"]][found["kind"]] = path / file
        else:
            others += 1
    having = {case: kinds for case, kinds in volumes.items() if slicing.modality in kinds}
    if not having:
        there = listed(sorted({kind for kinds in volumes.values() for kind in kinds} - {TRUTH})) or "none"
        raise DataError(
            f"{path}: no case has {slicing.modality}, {next(iter(volumes))} neither; set data.modality to one "
            f"that is there ({there})"
        )
    lacking = {
        f"cases without {slicing.modality}, left out": [case for case in volumes if case not in having],
        "cases without a segmentation, and so without labels": [c for c, kinds in having.items() if TRUTH not in kinds],
    }
    notes = [f"{what}: {len(some)} ({listed(some, 3)})" for what, some in lacking.items() if some]
    if others:
        notes.append(f"images not named like a volume of a case left out: {others}")
    cases = (
        Case(case, kinds[slicing.modality], subject=case, mask=kinds.get(TRUTH))
        for case, kinds in sorted(having.items())
    )
    return Cases(cases, str(path), name, [*listing.notes, *notes])


def _match(file: Path, root: Path) -> re.Match[str] | None:
    """The case and the kind that the name of a file tells; the folder of a single case counts."""
    return FILE.fullmatch((root.resolve().name / file.relative_to(root)).as_posix())
