"""Placeholder until SLIDES writes it."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from sanoscope.cases.case import SlideTile

SUFFIXES = (".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide")
def read_tile(path: Path, tile: SlideTile) -> np.ndarray:
    raise NotImplementedError
def slide_key(path: Path) -> str:
    raise NotImplementedError
