"""Placeholder until SLIDES writes it."""
from __future__ import annotations

from dataclasses import dataclass

from sanoscope.cases.case import Cases


@dataclass(frozen=True)
class Tiling:
    size: int = 256
    magnification: float = 10.0
    objective: float = 0.0
    tissue: str = "otsu"
    least_tissue: float = 0.5
    tiles: str = "all"
def tiled(cases: Cases, tiling: Tiling) -> Cases:
    return cases
