"""Synthetic images with their truth, deterministic from a seed: for tests, demonstrations and first steps."""

from sanoscope.cases.phantoms.brain import brain_phantoms
from sanoscope.cases.phantoms.collection import Phantoms
from sanoscope.cases.phantoms.histology import histology_phantoms

__all__ = ["Phantoms", "brain_phantoms", "histology_phantoms"]
