"""A step on one image at a time: only the values inside a window are told apart, as radiologists look at CT."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from sanoscope.errors import ImageError, OptionError
from sanoscope.preparation.geometry import Picture, StillStep

NONE, FILE = "none", "file"
CHOSEN = re.compile(r"(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Window(StillStep):
    """Values between black and white of a window as [0, 1], those beyond it as 0 or 1.

    DICOM's linear function (PS3.3, C.11.2.1.2.1): black is the centre less one half and half of the width less one,
    white as much above.

    Attributes:
        centre: In the units of the pixels, Hounsfield units for CT; None takes each file's own window.
        width: Likewise, at least 1.
    """

    centre: float | None = None
    width: float | None = None

    @classmethod
    def parse(cls, written: str) -> Window:
        """The window of an option: ``file``, or ``40/400`` for a centre of 40 and a width of 400.

        Raises:
            OptionError: It is written otherwise, or the width is not above 1.
        """
        if written == FILE:
            return cls()
        found = CHOSEN.fullmatch(written)
        if found is None or float(found[2]) <= 1:
            raise OptionError(
                f"preparation.window={written} is not understood; write none, file, or CENTRE/WIDTH such as 40/400"
            )
        return cls(float(found[1]), float(found[2]))

    def apply(self, picture: Picture) -> Picture:
        """The picture with values in [0, 1], float32.

        Raises:
            ImageError: The file's own window is asked for, and it has none.
        """
        centre, width = (self.centre, self.width) if self.centre is not None else picture.window() or (None, None)
        if centre is None or width is None:
            raise ImageError("its file names no window; set preparation.window=CENTRE/WIDTH or none")
        if width <= 1:
            raise ImageError(f"its file names a window of width {width:g}; set preparation.window=CENTRE/WIDTH or none")
        black = centre - 0.5 - (width - 1) / 2
        pixels = ((picture.pixels.astype(np.float32) - black) / (width - 1)).clip(0, 1)
        return replace(picture, pixels=pixels, trace=(*picture.trace, ()))
