"""The pixels of one case, wherever they are: in memory, in an image file, or in a volume."""

from __future__ import annotations

import numpy as np

from sanoscope.cases.case import Case
from sanoscope.cases.nifti import recent_volume
from sanoscope.cases.readers import read_image
from sanoscope.errors import ImageError


def read_case(case: Case) -> np.ndarray:
    """The pixels ``(H, W, C)`` in the type they are stored in; a slice as it is displayed.

    Raises:
        ImageError: There are none, or they cannot be read.
    """
    if case.pixels is not None:
        return np.atleast_3d(case.pixels)
    if case.path is None:
        raise ImageError(f"{case}: has neither a file nor pixels")
    if case.slice is not None:
        return recent_volume(case.path).slice(case.slice)[..., None]
    return read_image(case.path)
