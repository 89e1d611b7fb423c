"""Synthetic images with their truth, deterministic from a seed: for tests, demonstrations and first steps."""

from sanoscope.cases.phantoms.collection import Phantoms
from sanoscope.cases.phantoms.histology import histology_phantoms

__all__ = ["Phantoms", "histology_phantoms"]
