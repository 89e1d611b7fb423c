"""Images at another height and width, anti-aliased when shrinking."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy.sparse import csr_array

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
INTERPOLATIONS = (*RESAMPLING, "area")


def resize(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """``(H, W, C)`` at another height and width; uint8 stays uint8, everything else becomes float32.

    Deeper images are treated as PIL treats 8-bit ones: whole numbers stay whole, and bicubic interpolation does
    not overshoot, here the range of the image, so that neither bit depth nor [0, 1] is lost.
    """
    whole = pixels.dtype.kind in "iu"
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32, copy=False)
    if pixels.shape[:2] == size:
        return pixels
    resized = _area_means(pixels, size) if interpolation == "area" else _resampled(pixels, size, interpolation)
    if resized.dtype == np.uint8:
        return resized
    resized = resized.clip(pixels.min(), pixels.max())
    return (np.rint(resized) if whole else resized).astype(pixels.dtype)


def _resampled(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    method, target = RESAMPLING[interpolation], (size[1], size[0])
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(target, method))
    channels = np.moveaxis(pixels, 2, 0)
    resized = [np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize(target, method)) for c in channels]
    return np.stack(resized, axis=2)


def _area_means(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mean of what each new pixel covers, ``(h, w, C)`` float64.

    PIL's box filter takes whole pixels by their centres: from 240 to 224 it would leave every fifteenth row out.
    """
    height, width, channels = pixels.shape
    rows = area_weights(height, size[0]) @ pixels.reshape(height, -1)  # (h, W·C)
    columns = rows.reshape(size[0], width, channels).transpose(1, 0, 2).reshape(width, -1)  # (W, h·C)
    means = area_weights(width, size[1]) @ columns  # (w, h·C)
    return np.ascontiguousarray(means.reshape(size[1], size[0], channels).transpose(1, 0, 2))


@lru_cache(maxsize=64)  # the same for every image of a size
def area_weights(source: int, target: int) -> csr_array:
    """Along one direction, the share ``(target, source)`` of each new pixel that lies in each old one."""
    edges = np.arange(target + 1) * (source / target)  # of new pixels, in old ones
    pixels = np.arange(source)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    covered = covered.clip(0, None)
    return csr_array(covered / covered.sum(1, keepdims=True))
