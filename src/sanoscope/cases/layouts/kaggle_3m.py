"""Kaggle's LGG MRI segmentation: ``kaggle_3m/<patient>/<patient>_<slice>.tif`` with ``_mask.tif``.

Buda et al., Computers in Biology and Medicine 2019. PNG copies of the tree are read likewise.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.listing import list_images, names_of, pair
from sanoscope.cases.readers import read_mask
from sanoscope.cases.slicing import Slicing
from sanoscope.console import track
from sanoscope.errors import DataError, ImageError, OptionError

name = "kaggle-3m"

INNER = "kaggle_3m"  # the archive has it twice; its folder is read, not what lies beside it
MASKS = "*/*_[0-9]*_mask.*"
SLICE = re.compile(r"(?P<patient>[^/]+)/(?P=patient)_\d+\.(?:tiff?|png)")
MASK = re.compile(r"(?P<patient>[^/]+)/(?P=patient)_\d+_mask\.(?:tiff?|png)")
THREADS = 4


def recognises(path: Path) -> bool:
    """A folder, or one around ``kaggle_3m``, with at least one mask of a patient's slice."""
    return path.is_dir() and any(_holds_masks(folder) for folder in (path, path / INNER))


def _holds_masks(folder: Path) -> bool:
    return any(MASK.fullmatch(file.relative_to(folder).as_posix()) for file in folder.glob(MASKS))


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The slices, abnormal where their mask has any pixel that is not zero; the subject is the patient.

    Raises:
        OptionError: ``normal`` is given; what is abnormal is told by the masks.
        DataError: A mask cannot be read.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; slices with an empty mask are normal")
    root = path if _holds_masks(path) else path / INNER
    listing = list_images(root)
    paired = pair(listing.files)
    files = [file for file in paired.images if SLICE.fullmatch(file)]
    labels = _labels(root, paired.masks)
    counts = {
        "slices without a mask, and so without a label": sum(file not in labels for file in files),
        "images not named like a slice left out": len(paired.images) - len(files),
    }
    notes = [f"{what}: {count}" for what, count in counts.items() if count]
    cases = (
        Case(
            case_name,
            root / file,
            label=labels.get(file),
            subject=file.partition("/")[0],
            mask=root / paired.masks[file] if file in paired.masks else None,
        )
        for file, case_name in zip(files, names_of(files), strict=True)
    )
    return Cases(cases, str(path), name, [*listing.notes, *notes])


def _labels(root: Path, masks: dict[str, str]) -> dict[str, int]:
    """0 or 1 for each image with a mask."""

    def label(mask: str) -> int:
        return int(read_mask(root / mask).any())

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(track(pool.map(label, masks.values()), "reading masks", len(masks)))
    except ImageError as error:
        raise DataError(f"{error} (without a mask its image would have no label)") from error
    return dict(zip(masks, found, strict=True))
