"""The tree of MVTec AD: ``train/good``, ``test/good``, ``test/<defect>``, ``ground_truth/<defect>``.

Bergmann et al., MVTec AD, CVPR 2019.
"""

from __future__ import annotations

from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import labels_of_groups
from sanoscope.cases.layouts.listing import list_images, names_of, stem_of
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError

name = "mvtec"

MASKS = "ground_truth"


def recognises(path: Path) -> bool:
    """A folder with ``train/good`` and ``test``."""
    return (path / "train" / "good").is_dir() and (path / "test").is_dir()


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The images of ``train`` and ``test``, ``good`` being normal unless another group is named.

    Raises:
        DataError: There is no image in ``train`` or in ``test``.
    """
    listing = list_images(path)
    files = [file for file in listing.files if file.split("/")[0] in ("train", "test") and file.count("/") > 1]
    groups = {file: file.split("/")[1] for file in files}
    masks = {stem_of(file): file for file in listing.files if file.startswith(f"{MASKS}/")}
    for split in ("train", "test"):
        if not any(file.startswith(f"{split}/") for file in files):
            raise DataError(f"{path / split}: no images in the folders of this split; put them there")
    labels = labels_of_groups(groups.values(), normal or "good", path)
    cases = [
        Case(
            case_name,
            path / file,
            label=labels[groups[file]],
            group=groups[file],
            split=file.split("/")[0],
            mask=_mask(path, file, masks),
        )
        for file, case_name in zip(files, names_of(files), strict=True)
    ]
    counts = {
        "abnormal images without a mask": sum(case.label == 1 and case.mask is None for case in cases),
        "images outside the layout left out": len(listing.files) - len(files) - len(masks),
    }
    notes = [f"{what}: {count}" for what, count in counts.items() if count]
    return Cases(cases, str(path), name, [*listing.notes, *notes])


def _mask(path: Path, file: str, masks: dict[str, str]) -> Path | None:
    """``test/crack/000.png`` to ``ground_truth/crack/000_mask.png``, or ``000.png`` as some sets name it."""
    stem = stem_of(file).replace("test", MASKS, 1)
    mask = masks.get(f"{stem}_mask", masks.get(stem))
    return path / mask if mask is not None else None
