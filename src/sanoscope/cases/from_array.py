"""Cases of an array in memory: one an image, with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import labels_of_groups
from sanoscope.errors import DataError


def cases_of_array(
    images: np.ndarray,
    labels: Sequence[object] | None,
    subjects: Sequence[object] | None,
    normal: str | None,
) -> Cases:
    """Cases of an array ``(N, H, W)`` or ``(N, H, W, C)``; each holds a view of its image.

    Args:
        images: Numbers of any type.
        labels: 0, 1 or None for each image, or the name of its group with ``normal``.
        subjects: The patient of each image, or None.
        normal: The group to be taken as normal, all others being abnormal.

    Raises:
        DataError: The array has another shape, holds no numbers, NaN or infinity, or labels or subjects do not fit.
        OptionError: ``normal`` is none of the groups.
    """
    if images.ndim not in (3, 4) or images.size == 0:
        raise DataError(f"array of shape {images.shape}: needed is (images, height, width[, channels])")
    if images.dtype.kind not in "uifb":
        raise DataError(f"array of {images.dtype}: needed are numbers")
    _check_finite(images)
    known = _per_image("labels", labels, len(images))
    patients = _per_image("subjects", subjects, len(images))
    groups = [None if label is None else str(label) for label in known]
    named = normal is not None
    label_of = labels_of_groups((g for g in groups if g is not None), normal, "labels") if named else {"0": 0, "1": 1}
    for i, group in enumerate(groups):
        if group is not None and group not in label_of:
            raise DataError(f"labels[{i}] is '{group}', not 0, 1 or None; for groups, say which one is normal")
    cases = (
        Case(
            f"{i:06d}",
            pixels=pixels,
            label=None if group is None else label_of[group],
            group=group if named else None,
            subject=None if patient is None else str(patient),
        )
        for i, (pixels, group, patient) in enumerate(zip(images, groups, patients, strict=True))
    )
    return Cases(cases, "array", "array")


def _check_finite(images: np.ndarray) -> None:
    if images.dtype.kind == "f":
        for i, image in enumerate(images):
            if not np.isfinite(image).all():
                raise DataError(f"image {i} of the array holds NaN or infinity; replace these values")


def _per_image(what: str, values: Sequence[object] | None, images: int) -> list[object]:
    """One value an image; numpy's numbers as Python's, and NaN, pandas' word for unknown, as None."""
    if values is None:
        return [None] * images
    listed = np.asarray(values, dtype=object).tolist()
    if len(listed) != images:
        raise DataError(f"{len(listed)} {what} for {images} images; give one for each")
    return [None if value != value else _plain(value) for value in listed]


def _plain(value: object) -> object:
    """``True``, ``1.0`` and numpy's ``1`` are the label 1."""
    if isinstance(value, bool | np.bool_ | float | np.number) and float(value).is_integer():
        return int(value)
    return value
