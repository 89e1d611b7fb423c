"""Placeholder until FORMATS writes it."""
from __future__ import annotations

from pathlib import Path

import numpy as np


def is_stack(path: Path) -> bool:
    return False
def read_npy(content: bytes) -> np.ndarray:
    raise NotImplementedError
def read_npz(content: bytes) -> np.ndarray:
    raise NotImplementedError
