"""Voxels that follow a header byte for byte, compressed or not, as NIfTI and MGH have them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from sanoscope.cases.compression import decompressed
from sanoscope.cases.limits import LARGEST_BYTES, SMALLEST_RATIO
from sanoscope.errors import ImageError


def raw_voxels(
    content: bytes, shape: Sequence[int], data_type: np.dtype[Any], begins: int, compressed: bool
) -> np.ndarray:
    """The array ``(I, J, K)`` in a file, first axis fastest, checked against the file's size before it is made.

    Args:
        content: The whole file.
        shape: Of the array.
        data_type: Of one voxel.
        begins: Where the voxels do, in bytes, after decompression.
        compressed: Whether the file is, with gzip.

    Raises:
        ImageError: There are more voxels than the limit or fewer than the shape needs, or a voxel is no plain number.
    """
    count = prod(shape)
    if data_type.kind not in "uif":
        raise ImageError(f"voxels of type {data_type} are not read; save one number for each")
    if count * data_type.itemsize > LARGEST_BYTES:
        raise ImageError(f"{tuple(shape)} voxels are more than the limit of {LARGEST_BYTES / 2**30:g} GiB; cut it")
    needed = begins + count * data_type.itemsize
    if needed > len(content) * (SMALLEST_RATIO if compressed else 1):
        raise ImageError("the file is truncated")
    if compressed:
        content = decompressed(content, needed)
    return np.frombuffer(content, data_type, count, begins).reshape(shape, order="F")
