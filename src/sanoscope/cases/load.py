"""From what a user has, a path or an array, to cases with their sides."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.dicom_cases import with_series
from sanoscope.cases.duplicates import across_splits, describe_duplicates
from sanoscope.cases.from_array import cases_of_array
from sanoscope.cases.layouts import LAYOUTS
from sanoscope.cases.readers import read_types
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.splits import BY, add_validation, check_subjects, hold_out
from sanoscope.cases.tiling import tiled
from sanoscope.cases.volumes import sliced
from sanoscope.errors import DataError, OptionError, nearest

Data = str | Path | np.ndarray | Cases


def load_cases(
    data: Data,
    *,
    labels: Sequence[object] | None = None,
    subjects: Sequence[object] | None = None,
    normal: str | int | None = None,
    layout: str | None = None,
    slicing: Slicing | None = None,
    split: str | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    check_duplicates: bool = True,
) -> Cases:
    """The cases of a collection, each on its side of the split.

    Args:
        data: A folder, manifest, ``.npz``, image or volume; an array ``(N, H, W[, C])``; or cases,
            which are returned as they are if they have sides.
        labels: For an array, 0, 1 or None for each image, or group names with ``normal``.
        subjects: For an array, the patient of each image, or None.
        normal: The group to be taken as normal, all others being abnormal.
        layout: One of ``LAYOUTS``, where the one that is recognised is not meant.
        slicing: Which slices of volumes, or of numbered series of images, are cases; None for all axial ones.
        split: None keeps the sides that the source assigns, and splits by subject where it assigns none;
            ``"subject"`` and ``"image"`` split anew.
        validation: Share of the images; of the training normals where the source has no validation side.
        test: Share of the images.
        seed: Chooses the split.
        check_duplicates: Whether to look for identical images on two sides, which the notes then name. It
            reads every file that has the size of another.

    Raises:
        DataError: The collection cannot be used, has a subject on two sides, or too few subjects to split.
        OptionError: An argument that does not exist or does not fit the data.
    """
    if split is not None and split not in BY:
        raise OptionError(f"split='{split}' is unknown; {nearest(str(split), list(BY))}")
    cases = read_cases(data, labels=labels, subjects=subjects, normal=normal, layout=layout, slicing=slicing)
    if split is None and cases is data and cases.is_split:
        return cases
    if split is not None or not cases.is_split:
        cases = hold_out(cases, validation, test, seed, split or "subject")
    else:
        check_subjects(cases)
        if len(cases.test):
            cases = add_validation(cases, validation, seed)
        if unassigned := [case.split for case in cases].count(None):
            cases = cases.with_cases(cases, [f"images on no side: {unassigned}"])
    if check_duplicates and (found := across_splits(cases)):
        cases = cases.with_cases(cases, [describe_duplicates(found)])
    return cases


def read_cases(
    data: Data,
    *,
    labels: Sequence[object] | None = None,
    subjects: Sequence[object] | None = None,
    normal: str | int | None = None,
    layout: str | None = None,
    slicing: Slicing | None = None,
) -> Cases:
    """The cases of a collection as the source gives them, without a split of our own; for scoring.

    Args:
        data: As in ``load_cases``.
        labels: As in ``load_cases``.
        subjects: As in ``load_cases``.
        normal: As in ``load_cases``.
        layout: As in ``load_cases``.
        slicing: As in ``load_cases``; cases are taken as they are.

    Raises:
        DataError: The collection cannot be used.
        OptionError: An argument that does not exist or does not fit the data.
    """
    group = None if normal is None else str(normal)
    if isinstance(data, np.ndarray):
        return cases_of_array(data, labels, subjects, group)
    if labels is not None or subjects is not None:
        raise OptionError("labels and subjects go with an array; for files, name them in a manifest")
    if isinstance(data, Cases):
        if normal is not None:
            raise OptionError("normal goes with a path or an array; these cases have their labels")
        return data
    if not isinstance(data, str | Path):
        raise DataError(f"{type(data).__name__}: no data; give a path, a numpy array or cases")
    return _from_path(Path(data), group, layout, slicing or Slicing())


def _from_path(path: Path, normal: str | None, layout: str | None, slicing: Slicing) -> Cases:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise DataError(f"{path}: cannot be listed; check its permissions")
    if layout is not None and layout not in LAYOUTS:
        raise OptionError(f"layout='{layout}' is unknown; {nearest(layout, list(LAYOUTS))}")
    candidates = [LAYOUTS[layout]] if layout is not None else LAYOUTS.values()
    for candidate in candidates:
        if candidate.recognises(path):
            cases = candidate.read(path, normal, slicing)
            break
    else:
        if layout is not None:
            raise DataError(f"{path}: not laid out as '{layout}'; leave out layout, or give another folder")
        kinds = f"a folder, a manifest (.csv), an .npz nor an image ({read_types()})"
        raise DataError(f"{path}: neither {kinds}; give one of these")
    if normal is not None and all(case.group is None for case in cases):
        raise OptionError(f"{path}: normal='{normal}' is of no use, as no groups are named here")
    return sliced(with_series(tiled(cases, slicing.tiling), slicing), slicing)
