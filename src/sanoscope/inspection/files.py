"""The files behind the cases: their kinds and sizes, the grids of volumes, what DICOM headers and slides tell."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.case import AXES, Case, Cases
from sanoscope.cases.dicom import begins_like_dicom
from sanoscope.cases.readers import is_read, is_volume
from sanoscope.cases.slides import facts_of
from sanoscope.cases.suffixes import DICOM, SLIDES, suffix_of
from sanoscope.cases.volume_files import files_behind, read_grid
from sanoscope.errors import ImageError

# DICOM headers that are opened; the files of a collection are mostly of a kind.
MOST_HEADERS = 500
# What is read of them: nothing that tells who the patient is.
HEADER_FIELDS = ("Modality", "BitsStored", "PhotometricInterpretation", "WindowCenter", "WindowWidth")
# Slices are thick along an axis where voxels are so many times as long as across it.
THICKER = 1.2
KINDS = ("image", "volume", "series", "slide", "array")


@dataclass(frozen=True)
class Format:
    """The files of one kind and type.

    Attributes:
        kind: One of ``KINDS``; a series is a volume of several files.
        suffix: Such as ``".png"``; empty where files have none.
        files: How many.
        bytes: How many in all.
        cases: How many images, slices and tiles come from them.
    """

    kind: str
    suffix: str
    files: int
    bytes: int
    cases: int


def formats_of(cases: Cases) -> list[Format]:
    """The kinds of files that the cases come from, the most common first; masks are not counted."""
    files: dict[tuple[str, str], set[Path]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    behind: dict[Path, tuple[Path, ...]] = {}
    source = Path(cases.source)
    for case in cases:
        if case.path is None or case.pixels is not None:
            stored = case.pixels is not None and source.is_file()
            key = "array", suffix_of(source) if stored else ""
            files.setdefault(key, set()).update({source} if stored else ())
            counts[key] += 1
            continue
        if case.path not in behind:
            behind[case.path] = _files_of(case)
        key = _kind_of(case, len(behind[case.path])), suffix_of(case.path)
        files.setdefault(key, set()).update(behind[case.path])
        counts[key] += 1
    found = [
        Format(*key, len(files.get(key, ())), sum(map(_size_of, files.get(key, ()))), count)
        for key, count in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.files, one.kind, one.suffix))


def _kind_of(case: Case, files: int) -> str:
    assert case.path is not None
    if case.tile is not None or suffix_of(case.path) in SLIDES:
        return "slide"
    if files > 1:
        return "series"
    return "volume" if case.slice is not None or is_volume(case.path) else "image"


def _files_of(case: Case) -> tuple[Path, ...]:
    assert case.path is not None
    if case.slice is None:
        return (case.path,)
    try:
        return files_behind(case.path)
    except ImageError:
        return (case.path,)


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def volumes_of(cases: Cases) -> dict[str, Any]:
    """How many volumes there are, and how often each spacing, shape and orientation; empty without any.

    Shapes and spacings, in millimetres, are towards the patient's right, front and head.
    """
    paths = dict.fromkeys(case.path for case in cases if case.slice is not None and case.path is not None)
    spacings: Counter[str] = Counter()
    orientations: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    thickest: Counter[str] = Counter()
    for path in paths:
        try:
            grid = read_grid(path)
        except ImageError:
            continue
        from nibabel.orientations import ornt2axcodes

        stored = np.linalg.norm(grid.affine[:3, :3], axis=0)
        spacing = stored[np.argsort(grid.orientation[:, 0])]
        spacings[" × ".join(f"{one:.3g}" for one in spacing)] += 1
        orientations["".join(ornt2axcodes(grid.orientation))] += 1
        shapes[" × ".join(map(str, grid.canonical_shape))] += 1
        widest = max(AXES, key=lambda axis: spacing[AXES[axis]])
        thickest[widest if spacing[AXES[widest]] > THICKER * np.median(spacing) else "none"] += 1
    if not paths:
        return {}
    return {
        "volumes": len(paths),
        "spacings": dict(spacings.most_common()),
        "orientations": dict(orientations.most_common()),
        "shapes": dict(shapes.most_common()),
        "thickest slices along": dict(thickest.most_common()),
    }


def headers_of(cases: Cases) -> dict[str, dict[str, int]]:
    """How often each value of ``HEADER_FIELDS`` stands in DICOM files, of each series in one; empty without any."""
    paths = [path for path in dict.fromkeys(case.path for case in cases if case.path is not None) if _is_dicom(path)]
    counts: dict[str, Counter[str]] = {name: Counter() for name in HEADER_FIELDS}
    for path in paths[:MOST_HEADERS]:
        for name, value in _header(path).items():
            counts[name][value] += 1
    return {name: dict(count.most_common()) for name, count in counts.items() if count}


def _is_dicom(path: Path) -> bool:
    return suffix_of(path) in DICOM or (not is_read(path) and begins_like_dicom(path))


def _header(path: Path) -> dict[str, str]:
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said by reading its pixels
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(HEADER_FIELDS))
            return {name: str(dataset[name].value) for name in HEADER_FIELDS if name in dataset}
    except Exception:  # pydicom meets broken headers with every kind of exception
        return {}


def slides_of(cases: Cases) -> list[dict[str, Any]]:
    """What each slide tells of itself; empty without any."""
    found = []
    for path in dict.fromkeys(case.path for case in cases if case.tile is not None and case.path is not None):
        facts = facts_of(path)
        found.append(
            {
                "slide": path.name,
                "size": [facts.width, facts.height],
                "micrometres a pixel": None if facts.mpp is None else [round(one, 4) for one in facts.mpp],
                "objective": facts.objective,
                "vendor": facts.vendor,
                "levels": len(facts.downsamples),
            }
        )
    return found
