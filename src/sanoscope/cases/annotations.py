"""Placeholder until SLIDES writes it."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from sanoscope.cases.case import SlideTile


def mask_of(annotation: Path, tile: SlideTile) -> np.ndarray:
    raise NotImplementedError
