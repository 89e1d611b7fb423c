"""Arrays that may be larger than memory."""

from __future__ import annotations

import math
import mmap
import os
import tempfile

import numpy as np
from numpy.typing import DTypeLike

from sanoscope.errors import DataError
from sanoscope.preparation.cache import cache_folder


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Zeros in a temporary file of the cache folder, which the system moves in and out of memory as they are used.

    The file has no name: it goes with the array, and with the process whichever way that ends.

    Args:
        shape: Without a zero, as no file of nothing can be mapped.
        dtype: Any but objects.

    Raises:
        DataError: If there is no room for it.
    """
    folder = cache_folder()
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            # Room is taken now where the system can: on a disk that fills up later, writing would end the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{folder}: {size / 2**30:.1f} GiB of maps cannot be kept there ({reason}); "
            "set SANOSCOPE_CACHE to a folder with more room"
        ) from error
    return np.frombuffer(mapped, dtype).reshape(shape)
