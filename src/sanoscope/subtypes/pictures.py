"""Small pictures of cases, as their files show them, for pages of clusters and of similar images."""

from __future__ import annotations

import numpy as np

from sanoscope.cases.case import LABELS, Case
from sanoscope.cases.pixels import read_case
from sanoscope.report.clusters_content import Patch
from sanoscope.report.images import display_file

# Sides of pictures, in pixels; larger images are made smaller.
LARGEST = 96


def patch_of(case: Case) -> Patch:
    """The picture of a case with what is known of it.

    Raises:
        ImageError: If it can no longer be read.
    """
    class_name = case.group or (None if case.label is None else LABELS[case.label])
    return Patch(_small(display_file(read_case(case))), case.name, case.subject, class_name)


def _small(image: np.ndarray) -> np.ndarray:
    """An image ``(H, W, 3)`` uint8 that is no larger than ``LARGEST``."""
    from PIL import Image

    if max(image.shape[:2]) <= LARGEST:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(picture)
