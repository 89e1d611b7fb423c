"""Where on a slide there is tissue, found on a picture of it that is many times smaller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np

from sanoscope.cases.slides import facts_of, read_region, thumbnail

METHODS = ("otsu", "camelyon16", "none")
# Longer side of the picture that tissue is found on, in pixels.
PICTURE_SIDE = 2048
# Tissue is coloured: glass, even where it is dirty or dark, has less saturation than this, of 255.
LEAST_SATURATION = 12
# And tissue, however pale beside its darkest parts, has more: where there is no glass, Otsu would divide the tissue.
MOST_SATURATION = 60
DARK = 48  # pixels whose brightest channel is below it, of 255, are no colour but noise in a black gap of the scan
# Shares of the picture below which a speck is no tissue, and a hole in the tissue no hole.
LEAST_SPECK, LEAST_HOLE = 1e-4, 1e-4

# The protocol of Camelyon16's patches (deep perceptual autoencoder, released code).
CELL = 768  # side in pixels of level 0
CELL_PIXELS = 3  # of the reduced picture along a cell
REDUCTION = CELL // CELL_PIXELS
TALL, WIDE_BORDERS, BORDER = 700, (100, 50), 30  # borders of pictures taller than that: above and below, left


@dataclass(frozen=True, eq=False)
class Tissue:
    """What belongs to the tissue of a slide.

    Attributes:
        mask: ``(h, w)`` bool.
        scale: Pixels of level 0 for each pixel of the mask, across and down.
    """

    mask: np.ndarray
    scale: tuple[float, float]

    def share(self, x: int, y: int, side: int) -> float:
        """How much of a square of level 0 is tissue; what lies beyond the slide is none."""
        left, right = (int(np.floor(edge / self.scale[0] + 0.5)) for edge in (x, x + side))
        top, bottom = (int(np.floor(edge / self.scale[1] + 0.5)) for edge in (y, y + side))
        right, bottom = max(right, left + 1), max(bottom, top + 1)  # a tile smaller than a pixel of the mask
        inside = self.mask[max(top, 0) : bottom, max(left, 0) : right]
        return float(inside.sum() / ((right - left) * (bottom - top)))


def find_tissue(path: Path) -> Tissue:
    """What is coloured more than the glass: Otsu's threshold of saturation, without specks and small holes.

    Raises:
        ImageError: The slide cannot be read.
    """
    return _found(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _found(path: Path, _changed: int) -> Tissue:
    from scipy.ndimage import median_filter
    from skimage.filters import threshold_otsu
    from skimage.morphology import remove_small_holes, remove_small_objects

    facts = facts_of(path)
    picture = thumbnail(path, PICTURE_SIDE)
    saturation = median_filter(_saturation(picture), size=5)
    mask = saturation > np.clip(threshold_otsu(saturation), LEAST_SATURATION, MOST_SATURATION)
    mask = remove_small_objects(mask, max_size=round(LEAST_SPECK * mask.size))
    mask = remove_small_holes(mask, max_size=round(LEAST_HOLE * mask.size))
    height, width = mask.shape
    return Tissue(mask, (facts.width / width, facts.height / height))


def _saturation(picture: np.ndarray) -> np.ndarray:
    """Of 255, as in HSV."""
    brightest = picture.max(axis=2).astype(np.float32)
    darkest = picture.min(axis=2).astype(np.float32)
    return np.asarray(255 * (brightest - darkest) / np.maximum(brightest, DARK))


def camelyon16_cells(path: Path) -> list[tuple[int, int]]:
    """The corners ``(x, y)`` on level 0 of all cells of tissue, ``CELL`` pixels a side, row by row.

    On the slide reduced 256 times, tissue is as dark as Otsu's threshold of grey or darker; borders are left out, an
    opening with 3 × 3 pixels removes specks, and a cell is 3 × 3 pixels of tissue.

    Raises:
        ImageError: The slide cannot be read.
    """
    from scipy.ndimage import binary_opening
    from skimage.filters import threshold_otsu

    facts = facts_of(path)
    size = max(ceil(facts.width / REDUCTION), 1), max(ceil(facts.height / REDUCTION), 1)
    picture = read_region(path, (0, 0), (size[0] * REDUCTION, size[1] * REDUCTION), size)
    grey = np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    if grey.min() == grey.max():
        return []
    tissue = binary_opening(without_borders(grey <= threshold_otsu(grey)), np.ones((3, 3)))
    height, width = (side // CELL_PIXELS for side in tissue.shape)
    cells = tissue[: height * CELL_PIXELS, : width * CELL_PIXELS].reshape(height, CELL_PIXELS, width, CELL_PIXELS)
    rows, columns = np.nonzero(cells.all((1, 3)))
    return [(int(column) * CELL, int(row) * CELL) for row, column in zip(rows, columns, strict=True)]


def without_borders(tissue: np.ndarray) -> np.ndarray:
    """A mask ``(h, w)`` of the reduced slide with nothing at its borders, where scanners leave marks."""
    cleared = tissue.copy()
    height = len(tissue)
    if height > TALL:
        vertical, left = WIDE_BORDERS
        cleared[:vertical] = cleared[height - vertical :] = False
        cleared[:, :left] = False
    else:
        cleared[:BORDER] = cleared[height - BORDER :] = False
        cleared[:, :BORDER] = cleared[:, max(tissue.shape[1] - BORDER, 0) :] = False
    return cleared
