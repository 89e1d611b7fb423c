"""The two stains of a histology image: its optical density, the colour of each stain, and how much of it is where.

By the law of Beer and Lambert stains add up as optical densities: ``(P, 2)`` concentrations times the ``(2, 3)`` stain
matrix, whose rows are the unit vectors of haematoxylin and eosin, give the ``(P, 3)`` densities of the pixels.

Sources: Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009;
Vahadane et al., "Structure-preserving color normalization and sparse stain separation for histological images",
IEEE Transactions on Medical Imaging 35 (2016); densities are natural logarithms and brightness is made standard first,
as in the released code of the deep perceptual autoencoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVELS = np.arange(256)
# This percentile of an image's values becomes white.
WHITE_PERCENTILE = 90
# Fewer pixels of tissue tell nothing of stains.
LEAST_TISSUE, LEAST_TISSUE_SHARE = 64, 0.01
# Stains are found on at most so many pixels of tissue, evenly among all; more move them by less than a degree.
MOST_PIXELS = 4096
# Two stains whose vectors are nearer than this, as the sine of their angle, are one.
LEAST_SINE = np.sin(np.radians(1))
# The robust maximum of the concentrations of a stain is this percentile over the tissue.
HIGHEST_PERCENTILE = 99

# Macenko et al.: a pixel with less density in every channel is glass; the extreme angles are these percentiles.
LEAST_DENSITY, EXTREME_ANGLES = 0.15, (1, 99)
# Vahadane et al.: weights of sparsity, when stains are learned and when concentrations are.
LEARNING_SPARSITY, SPARSITY = 0.1, 0.01
# A pixel is tissue where CIE L* is below 80, which is this relative luminance.
GLASS_LUMINANCE = ((80 + 16) / 116) ** 3
# Relative luminance of each level of red, green and blue in sRGB, ITU-R 709.
LUMINANCES = np.where(LEVELS <= 10, LEVELS / 255 / 12.92, ((LEVELS / 255 + 0.055) / 1.055) ** 2.4)[:, None] * np.array(
    [0.2126, 0.7152, 0.0722]
)
MOST_ROUNDS, SETTLED = 200, 1e-4


@dataclass(frozen=True)
class Stained:
    """An image whose stains could be told apart.

    Attributes:
        stains: ``(2, 3)``, unit vectors of haematoxylin and eosin.
        concentrations: ``(H, W, 2)`` of each pixel.
        highest: ``(2,)``, their robust maximum over the tissue.
    """

    stains: np.ndarray
    concentrations: np.ndarray
    highest: np.ndarray


def standard_levels(pixels: np.ndarray) -> np.ndarray:
    """What each of the 256 levels becomes when the 90th percentile of all values becomes white, ``(256,)`` in [0, 255].

    A black image stays as it is.
    """
    white = np.percentile(pixels, WHITE_PERCENTILE)
    return LEVELS.astype(np.float64) if white == 0 else np.minimum(LEVELS * (255 / white), 255)


def separated(pixels: np.ndarray, method: str) -> Stained | None:
    """The stains of an image; None where it shows too little tissue, or tissue of one hue.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        method: ``macenko`` or ``vahadane``.
    """
    is_tissue, stains_of, sparsity = METHODS[method]
    levels = standard_levels(pixels)
    densities = -np.log(np.maximum(levels, 1) / 255).astype(np.float32)[pixels]
    tissue = is_tissue(np.rint(levels).astype(np.uint8)[pixels])
    rows = np.flatnonzero(tissue)
    if rows.size < max(LEAST_TISSUE, LEAST_TISSUE_SHARE * tissue.size):
        return None
    sample = rows[np.linspace(0, rows.size - 1, min(rows.size, MOST_PIXELS)).astype(int)]
    stains = stains_of(densities.reshape(-1, 3)[sample])
    if stains is None:
        return None
    concentrations = sparse_concentrations(densities.reshape(-1, 3), stains, sparsity)
    highest = np.percentile(concentrations[rows], HIGHEST_PERCENTILE, axis=0)
    return Stained(stains, concentrations.reshape(*tissue.shape, 2), highest)


def sparse_concentrations(densities: np.ndarray, stains: np.ndarray, sparsity: float) -> np.ndarray:
    """The non-negative lasso with two atoms in closed form.

    Minimises ``½ ‖density − concentrations · stains‖² + sparsity · Σ concentrations`` for every pixel. Where both
    concentrations of the free minimum are above 0 it is that; else only the stain is there that explains more.

    Args:
        densities: ``(P, 3)``.
        stains: ``(2, 3)`` unit vectors, not parallel.
        sparsity: At least 0; without it this is the non-negative least-squares fit.

    Returns:
        ``(P, 2)`` in the densities' type.
    """
    cosine = float(stains[0] @ stains[1])
    first, second = stains.astype(densities.dtype) @ densities.T - densities.dtype.type(sparsity)
    both = np.stack([first - cosine * second, second - cosine * first], axis=1) / (1 - cosine**2)
    alone = np.stack([np.where(first >= second, first, 0), np.where(second > first, second, 0)], axis=1)
    found: np.ndarray = np.where((both > 0).all(axis=1, keepdims=True), both, np.maximum(alone, 0))
    return found.astype(densities.dtype, copy=False)


def stains_of_extreme_angles(densities: np.ndarray) -> np.ndarray | None:
    """The stains after Macenko et al.: the extreme directions in the plane that holds most of the densities.

    Args:
        densities: ``(P, 3)`` of tissue.

    Returns:
        ``(2, 3)``, or None where all have one direction.
    """
    plane = np.linalg.eigh(densities.T.astype(np.float64) @ densities)[1][:, [2, 1]]  # (3, 2)
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    along, across = (densities @ plane.astype(densities.dtype)).T
    angles = np.percentile(np.arctan2(across, along), EXTREME_ANGLES)
    return _ordered(np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T)


def stains_of_dictionary(densities: np.ndarray) -> np.ndarray | None:
    """The stains after Vahadane et al.: the non-negative dictionary of two atoms that explains the densities sparsely.

    Minimises the lasso's sum over all pixels over both sides in turn, from the extreme angles on: concentrations in
    closed form, and each atom by its own minimum (Mairal et al., "Online dictionary learning for sparse coding", 2009).

    Args:
        densities: ``(P, 3)`` of tissue.

    Returns:
        ``(2, 3)``, or None where all have one direction.
    """
    stains = stains_of_extreme_angles(densities)
    for _ in range(MOST_ROUNDS):
        if stains is None:
            return None
        before, stains = stains, stains.copy()
        found = sparse_concentrations(densities, stains, LEARNING_SPARSITY)
        together, shared = (found.T @ found).astype(np.float64), (found.T @ densities).astype(np.float64)
        for atom in np.flatnonzero(together.diagonal()):
            stains[atom] += (shared[atom] - together[atom] @ stains) / together[atom, atom]
            stains[atom] = np.maximum(stains[atom], 0)
            stains[atom] /= np.linalg.norm(stains[atom])
        stains = _ordered(stains)
        if stains is not None and np.abs(stains - before).max() < SETTLED:
            break
    return stains


def _ordered(vectors: np.ndarray) -> np.ndarray | None:
    """Unit vectors without negative parts, that with more red absorbed first: haematoxylin, as eosin absorbs little."""
    stains: np.ndarray = np.maximum(vectors, 0)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    if np.linalg.norm(np.cross(*stains)) < LEAST_SINE:
        return None
    return stains if stains[0, 0] >= stains[1, 0] else stains[::-1]


def _is_dense(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels.min(axis=2) < 255 * np.exp(-LEAST_DENSITY))


def _is_dark(pixels: np.ndarray) -> np.ndarray:
    luminance = sum(LUMINANCES[pixels[..., channel], channel] for channel in range(3))
    return np.asarray(luminance < GLASS_LUMINANCE)


# Which pixels are tissue, how stains are found there, and the sparsity of concentrations.
METHODS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray | None], float]] = {
    "macenko": (_is_dense, stains_of_extreme_angles, 0.0),
    "vahadane": (_is_dark, stains_of_dictionary, SPARSITY),
}
