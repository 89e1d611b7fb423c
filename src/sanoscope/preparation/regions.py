"""What belongs to the body, or to the brain, and what to the background."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, distance_transform_edt, label

# Skull-stripped images are 0 on at least this share; others have noise there, and few zeros.
STRIPPED = 0.3
# A brain on a smaller share of the image is the tip of one, of which the part deeper than this share is kept.
LEAST_BRAIN, SMALL_HEAD = 0.0023, 0.6


def otsu(values: np.ndarray) -> float:
    """Otsu's threshold: the cut between two classes that maximises the variance between them (256 bins).

    The upper class is what lies above the threshold; where all values are equal it is empty.
    """
    values = np.asarray(values, np.float64)  # float32 cannot always place 256 edges between two values
    if values.min() == values.max():
        return float(values.flat[0])
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    # A bin holds its lower edge, so that edge belongs to the upper class.
    return float(np.nextafter(edges[1:-1][np.nanargmax(between)], -np.inf))


def body_of(grey: np.ndarray) -> np.ndarray:
    """The largest bright region with its holes filled: the head of an MR slice, ``(H, W)`` bool.

    Bright is above a quarter of the sum of the means of Otsu's two classes, half of where a threshold between them
    would lie, as fat lies far above both brain and background.
    """
    upper = grey > otsu(grey)
    if not upper.any():
        return upper
    bright = binary_opening(grey > (grey[upper].mean() + grey[~upper].mean()) / 4, np.ones((3, 3)))
    regions, count = label(bright)
    if not count:
        return np.asarray(bright)
    return np.asarray(binary_fill_holes(regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])))


def brain_of(grey: np.ndarray, peel: float) -> np.ndarray:
    """The head without what lies near its surface, scalp and skull, ``(H, W)`` bool; a rough skull stripping.

    Args:
        grey: ``(H, W)``. Where it is stripped already, 0 outside the brain, the brain is what is not 0.
        peel: Depth of the surface that is left out, as a share of the image's longer side. Of a head so small that
            hardly anything would be left, near the crown, its inner part is taken.
    """
    if (grey == 0).mean() >= STRIPPED:
        return np.asarray(grey != 0)
    depth = distance_transform_edt(body_of(grey))
    brain = depth > peel * max(grey.shape)
    if brain.mean() >= LEAST_BRAIN:
        return np.asarray(brain)
    return np.asarray((depth > 0) & (depth >= SMALL_HEAD * depth.max()))
