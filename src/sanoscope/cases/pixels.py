"""The pixels of one case, wherever they are: in memory, in an image file, in a volume or in a slide."""

from __future__ import annotations

import numpy as np

from sanoscope.cases.case import Case
from sanoscope.cases.readers import read_image
from sanoscope.cases.slides import read_tile
from sanoscope.cases.volume_files import recent_volume
from sanoscope.errors import ImageError


def read_case(case: Case) -> np.ndarray:
    """The pixels ``(H, W, C)`` in the type they are stored in; a slice as it is displayed.

    Raises:
        ImageError: There are none, or they cannot be read.
    """
    if case.problem is not None:
        raise ImageError(case.problem)
    if case.pixels is not None:
        return np.atleast_3d(case.pixels)
    if case.path is None:
        raise ImageError(f"{case}: has neither a file nor pixels")
    if case.slice is not None:
        return np.atleast_3d(recent_volume(case.path).slice(case.slice))
    if case.tile is not None:
        return read_tile(case.path, case.tile)
    return read_image(case.path)
