"""Histology-like phantoms: haematoxylin and eosin patches at about one micrometre a pixel.

Two stain densities are painted, and by the Beer-Lambert law each absorbs red, green and blue in its own
proportion; the light that is left makes the image. Source: A. C. Ruifrok and D. A. Johnston,
"Quantification of histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 23 (2001).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sanoscope.cases.phantoms import tissue as architecture
from sanoscope.cases.phantoms.collection import Phantoms, check_fraction, check_whole, gather, generators, is_healthy
from sanoscope.cases.phantoms.fields import Array, each, pixel_grid, smooth_noise, soft_step
from sanoscope.cases.phantoms.nuclei import ERYTHROCYTE, TUMOUR, paint
from sanoscope.cases.phantoms.tissue import Tissue

# Absorption of red, green and blue by the two stains: between the vectors of Ruifrok and Johnston and
# those of M. Macenko et al., "A method for normalizing histology slides for quantitative analysis" (2009).
HAEMATOXYLIN = np.array([0.61, 0.71, 0.35])
EOSIN = np.array([0.16, 0.85, 0.45])

# What a normal patch shows, and how often. Dark crowds of small cells, pale fat and bare glass are there so
# that neither brightness nor the amount of haematoxylin tells a tumour.
SCENES = {
    "stroma": 0.24,
    "cellular": 0.17,
    "inflamed": 0.13,
    "duct": 0.17,
    "fat": 0.15,
    "vessel": 0.07,
    "edge": 0.07,
}


def histology_phantoms(
    subjects: int = 20,
    images_per_subject: int = 40,
    abnormal_fraction: float = 0.35,
    size: int = 64,
    seed: int = 0,
    healthy_every: int = 3,
) -> Phantoms:
    """Histology-like patches in which abnormal means crowded, enlarged, irregular nuclei.

    Subjects differ in stain, light and direction of the fibres; patches in what tissue they show. Normal ones
    are stroma, cellular stroma, lymphocytes, ducts, fat, vessels and the edge of the section; an abnormal one
    has a tumour in such a patch, from a part of it to all. The mask is the region of the tumour.
    The first subjects are the same however many follow.

    Args:
        subjects: How many patients; 20 leave several on each side of a split.
        images_per_subject: How many patches of each.
        abnormal_fraction: Part of the patches of a patient with a tumour that shows it.
        size: Height and width in pixels, at least 32. A larger patch shows more tissue at the same scale.
        seed: What the images are drawn from, at least 0.
        healthy_every: Every how many-th subject has no tumour, as results per subject need both; 0 for none.

    Returns:
        Images ``(N, H, W, 3)`` uint8 with labels, masks and subjects.

    Raises:
        DataError: If an argument is out of range.
    """
    check_whole("subjects", subjects, least=1)
    check_whole("images_per_subject", images_per_subject, least=1)
    check_fraction("abnormal_fraction", abnormal_fraction)
    check_whole("size", size, least=32)
    check_whole("seed", seed, least=0)
    check_whole("healthy_every", healthy_every, least=0)
    parts = []
    for subject, rng in enumerate(generators(seed, subjects)):
        ill = np.zeros(images_per_subject, bool)
        if not is_healthy(subject, healthy_every):
            ill[rng.permutation(images_per_subject)[: round(abnormal_fraction * images_per_subject)]] = True
        parts.append(_subject(rng, ill, size))
    return gather(parts)


def _subject(rng: np.random.Generator, ill: Array, size: int) -> tuple[Array, Array]:
    """Images and masks of one subject; ``ill`` says which show a tumour."""
    scene = rng.choice(list(SCENES), ill.size, p=list(SCENES.values()))
    shows = {name: np.flatnonzero(scene == name) for name in SCENES}
    angle = rng.uniform(0, np.pi) + rng.normal(0, 0.4, ill.size)
    tissue = architecture.stroma(rng, angle, size)
    architecture.add_fat(rng, tissue, shows["fat"])
    architecture.add_edge(rng, tissue, shows["edge"])
    architecture.add_ducts(rng, tissue, shows["duct"])
    architecture.add_vessels(rng, tissue, shows["vessel"])
    masks = np.zeros(tissue.eosin.shape, bool)
    masks[ill] = architecture.add_tumour(rng, tissue, np.flatnonzero(ill))
    architecture.add_stromal_cells(rng, tissue, angle, shows["cellular"], shows["inflamed"])
    haematoxylin, eosin, tumour_nuclei = _stain(rng, tissue)
    masks |= tumour_nuclei > 0.3  # nuclei that reach over the border belong to it
    return _photograph(rng, haematoxylin, eosin), masks


def _stain(rng: np.random.Generator, tissue: Tissue) -> tuple[Array, Array, Array]:
    """Densities of haematoxylin and eosin, and of the tumour's nuclei alone, each ``(N, H, W)``."""
    chromatin = smooth_noise(rng, len(tissue.eosin), tissue.size, 0.9)
    painted = {TUMOUR: np.zeros_like(tissue.eosin), ERYTHROCYTE: np.zeros_like(tissue.eosin)}
    benign = np.zeros_like(tissue.eosin)
    for cells in tissue.cells:
        painted.get(cells.kind, benign)[:] += paint(rng, cells, chromatin)
    tumour = painted[TUMOUR]
    # Clefts and vacuoles flatten the nuclei beside them, but the tumour's nuclei push into the clefts.
    matter = np.maximum(1 - tissue.clear, soft_step(tumour - 0.4, 0.6))
    nuclei = tumour + benign * matter
    eosin = tissue.eosin * matter * np.exp(-0.6 * nuclei)  # nuclei hold little that eosin binds to
    return tissue.haematoxylin * matter + nuclei, eosin + painted[ERYTHROCYTE], tumour


def _photograph(rng: np.random.Generator, haematoxylin: Array, eosin: Array) -> Array:
    """Colour images ``(N, H, W, 3)`` uint8 of one subject's stain densities."""
    count, size = haematoxylin.shape[:2]
    absorption = np.stack([HAEMATOXYLIN, EOSIN]) * np.exp(rng.normal(0, 0.04, (2, 3)))
    absorption /= np.linalg.norm(absorption, axis=1, keepdims=True)
    strength = np.exp(rng.normal(0, (0.10, 0.12)) + rng.normal(0, 0.05, (count, 2)))[..., None, None]
    deepest = 2.6  # a thicker layer of chromatin takes up hardly more
    haematoxylin = deepest * (1 - np.exp(-haematoxylin / deepest)) * strength[:, 0]
    density = np.stack([haematoxylin, eosin * strength[:, 1]], axis=-1) @ absorption
    rows, columns = (axis / size - 0.5 for axis in pixel_grid(size))
    lamp = 242 * np.exp(rng.normal(0, 0.012) + rng.normal(0, 0.008) * np.array([1, 0, -1]))  # warm to cold
    light = 1 + each(rng, -0.03, 0.03, count) * rows + each(rng, -0.03, 0.03, count) * columns
    images = lamp * light[..., None] * np.exp(-density)
    images = ndimage.gaussian_filter(images, (0, 0.55, 0.55, 0), mode="nearest")  # the objective's blur
    images += rng.normal(0, 2.0, images.shape)  # the camera's noise, in grey levels
    return np.asarray(np.clip(np.rint(images), 0, 255).astype(np.uint8))
