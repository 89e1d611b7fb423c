"""The 72 geometric transformations that Golan and El-Yaniv tell normal images by, as exact moves of pixels.

Golan, El-Yaniv: Deep anomaly detection using geometric transformations.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

# Directions of a translation, in the order of the released code.
DIRECTIONS = (0, -1, 1)
TURNS = 4
# Mirrored or not, moved along rows and columns, turned by quarters.
COUNT = 2 * len(DIRECTIONS) ** 2 * TURNS
# How far a translation goes, as a part of the side: 8 of 32 pixels, 16 of 64.
PART = 4


def transformed(images: Tensor, numbers: Tensor) -> Tensor:
    """Each image under a transformation of its own, channels last.

    Args:
        images: Square, ``(B, C, S, S)``.
        numbers: Of the transformations, ``(B,)``, from 0, which leaves the image, to 71.
    """
    flat = images.flatten(2)  # (B, C, S²)
    moves = sources(images.shape[-1]).to(images.device)[numbers]  # (B, S²)
    moved = flat.gather(2, moves[:, None].expand_as(flat))
    return moved.view_as(images).contiguous(memory_format=torch.channels_last)


@cache
def sources(size: int) -> Tensor:
    """Which pixel each one is taken from, numbered row by row: ``(72, S²)``, all that a transformation is.

    An image is first mirrored left to right, then moved up or down and left or right by a quarter of its side, where
    what comes in is its reflection with the outermost pixels repeated, and then turned counter-clockwise.
    """
    places = np.arange(size**2).reshape(size, size)
    step = size // PART
    tables = [
        np.rot90(_moved(np.fliplr(places) if mirrored else places, down * step, across * step), turns)
        for mirrored, down, across, turns in product((False, True), DIRECTIONS, DIRECTIONS, range(TURNS))
    ]
    return torch.from_numpy(np.stack(tables).reshape(COUNT, -1))


def _moved(places: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """What is so many rows further down, and columns further right."""
    reach, size = max(abs(rows), abs(columns)), len(places)
    padded = np.pad(places, reach, mode="symmetric")
    return padded[reach + rows : reach + rows + size, reach + columns : reach + columns + size]
