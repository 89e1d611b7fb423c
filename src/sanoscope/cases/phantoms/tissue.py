"""The architecture of the histology phantoms: stroma, fat, ducts, vessels, tissue edges and tumour."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from sanoscope.cases.phantoms.fields import (
    Array,
    blob_depth,
    blob_outline,
    each,
    pixel_grid,
    shaken_lattice,
    smooth_noise,
    soft_step,
)
from sanoscope.cases.phantoms.nuclei import (
    EPITHELIAL,
    ERYTHROCYTE,
    LYMPHOCYTE,
    SPINDLE,
    TUMOUR,
    Cells,
    line_up,
    scatter,
)


@dataclass
class Tissue:
    """A batch of patches before they are stained.

    Attributes:
        eosin: Optical density of eosin, ``(N, H, W)``.
        haematoxylin: Optical density of haematoxylin outside the nuclei, ``(N, H, W)``.
        clear: 0 tissue, 1 glass, ``(N, H, W)``.
        stroma: Where connective tissue is left, from 0 to 1, ``(N, H, W)``.
        cells: What lies in it.
    """

    eosin: Array
    haematoxylin: Array
    clear: Array
    stroma: Array
    cells: list[Cells] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.eosin.shape[-1])

    def fill(self, which: Array, cover: Array, eosin: Array | float, haematoxylin: Array | float) -> None:
        """Replace what is there by cytoplasm or matrix of these densities, in the images ``which``."""
        self.eosin[which] += cover * (eosin - self.eosin[which])
        self.haematoxylin[which] += cover * (haematoxylin - self.haematoxylin[which])
        self.clear[which] *= 1 - cover
        self.stroma[which] *= 1 - cover

    def empty(self, which: Array, cover: Array) -> None:
        """Leave bare glass there, in the images ``which``."""
        self.clear[which] = np.maximum(self.clear[which], cover)
        self.stroma[which] *= 1 - cover

    def room(self, which: Array, chance: Array) -> Array:
        """``chance`` in the images ``which`` and 0 in the others, ``(N, H, W)``."""
        room = np.zeros_like(self.eosin)
        room[which] = chance
        return room


def stroma(rng: np.random.Generator, angle: Array, size: int) -> Tissue:
    """Wavy collagen fibres, with slits between some bundles; ``angle`` in radians, one an image."""
    count = angle.size
    rows, columns = pixel_grid(size)
    wave = 2.5 * smooth_noise(rng, 2 * count, size, 6.0).reshape(2, count, size, size)
    image = np.broadcast_to(np.arange(count)[:, None, None], wave[0].shape)
    at = np.stack([image, rows + wave[0], columns + wave[1]])
    fibres, bundles = (
        ndimage.map_coordinates(smooth_noise(rng, count, size, along, across, angle), at, order=1, mode="grid-wrap")
        for along, across in ((11.0, 0.9), (9.0, 3.0))
    )
    eosin = rng.normal(0.62, 0.07, (count, 1, 1)) * np.exp(0.15 * fibres + 0.12 * bundles)
    slits = soft_step(-0.5 * fibres - bundles - each(rng, 1.5, 3.0, count), 0.8)
    return Tissue(eosin, np.full_like(eosin, 0.05), 0.85 * slits, 1 - slits)


def add_fat(rng: np.random.Generator, tissue: Tissue, which: Array) -> None:
    """Adipocytes: polygonal white cells with thin walls, beside what stroma is left."""
    count, size = which.size, tissue.size
    x, y = shaken_lattice(rng, count, size, rng.uniform(24, 34, count), shake=0.17)
    rows, columns = pixel_grid(size)
    wave = 1.2 * smooth_noise(rng, 2 * count, size, 5.0).reshape(2, count, size, size)
    nearest = np.zeros((count, size, size), int)
    first, second = np.full((2, count, size, size), np.inf)
    for cell in range(x.shape[1]):
        at_x, at_y = x[:, cell, None, None], y[:, cell, None, None]
        distance = np.hypot(columns + wave[0] - at_x, rows + wave[1] - at_y)
        nearest[distance < first] = cell
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    vacuole = soft_step((second - first) / 2 - each(rng, 0.6, 1.3, count), 1.5)
    share = smooth_noise(rng, count, size, 12.0) + each(rng, -0.3, 1.6, count)
    row, column = (np.clip(np.rint(v), 0, size - 1).astype(int) for v in (y, x))
    image = np.arange(count)[:, None]
    is_fat = share[image, row, column] > 0
    tissue.empty(which, vacuole * is_fat[image[..., None], nearest])


def add_edge(rng: np.random.Generator, tissue: Tissue, which: Array) -> None:
    """The border of the section: bare glass on one side."""
    count, size = which.size, tissue.size
    rows, columns = pixel_grid(size)
    angle, middle = each(rng, 0, 2 * np.pi, count), (size - 1) / 2
    beyond = (columns - middle) * np.cos(angle) + (rows - middle) * np.sin(angle)
    ragged = 0.06 * size * smooth_noise(rng, count, size, 7.0)
    tissue.empty(which, soft_step(beyond + ragged + each(rng, -0.25, 0.25, count) * size, 1.5))


def add_ducts(rng: np.random.Generator, tissue: Tissue, which: Array) -> None:
    """A duct: white lumen, a row of regular cells, a flat outer row, a basement membrane."""
    count, size = which.size, tissue.size
    outline = blob_outline(rng, rng.uniform(4, 15, count), roughness=0.18)
    x, y = rng.uniform(0.15 * size, 0.85 * size, (2, count))
    depth = blob_depth(outline, x, y, size)
    wall = each(rng, 8.5, 10.5, count)
    tissue.fill(which, soft_step(depth + wall + 1.5, 1.5), 0.75, 0.08)
    tissue.fill(which, soft_step(depth + wall, 1.2), each(rng, 0.40, 0.55, count), each(rng, 0.16, 0.30, count))
    tissue.empty(which, soft_step(depth, 1.5) * each(rng, 0.7, 1.0, count))
    tissue.cells += [
        line_up(rng, EPITHELIAL, which, outline + wall[:, 0] / 2, x, y, spacing=6.6),
        line_up(rng, SPINDLE, which, outline + wall[:, 0], x, y, spacing=13.0),
    ]


def add_vessels(rng: np.random.Generator, tissue: Tissue, which: Array) -> None:
    """A small vessel: a thin wall with flat nuclei, filled with red cells."""
    count, size = which.size, tissue.size
    outline = blob_outline(rng, rng.uniform(6, 14, count), roughness=0.15)
    x, y = rng.uniform(0.2 * size, 0.8 * size, (2, count))
    depth = blob_depth(outline, x, y, size)
    tissue.fill(which, soft_step(depth + 3.5, 1.5), 0.8, 0.06)
    tissue.empty(which, soft_step(depth, 1.2))
    tissue.cells += [
        line_up(rng, SPINDLE, which, outline + 1.5, x, y, spacing=12.0),
        scatter(rng, ERYTHROCYTE, tissue.room(which, 0.8 * (depth > 1.5)), spacing=5.2),
    ]


def add_tumour(rng: np.random.Generator, tissue: Tissue, which: Array) -> Array:
    """Nests of crowded, enlarged, irregular cells with clefts around them, from a corner to the whole patch.

    Returns:
        The region of the tumour with the stroma between its nests, bool, ``(len(which), H, W)``.
    """
    count, size = which.size, tissue.size
    # A quarter of the patches lies wholly within the tumour; in the others it is big enough to be seen.
    radius = np.where(rng.random(count) < 0.25, 2.0, rng.uniform(0.25, 0.6, count)) * size
    x, y = rng.uniform(0.1 * size, 0.9 * size, (2, count))
    depth = blob_depth(blob_outline(rng, radius, roughness=0.25), x, y, size)
    rows, columns = pixel_grid(size)
    centre = np.exp(-0.005 * ((columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2))
    solid = smooth_noise(rng, count, size, 5.5) + each(rng, 0.2, 1.2, count) + 1.5 * centre  # never without a nest
    region = soft_step(depth, 2.5)
    nest = region * soft_step(solid, 0.25)
    cleft = region * soft_step(solid + 0.55, 0.3) - nest
    tissue.fill(which, nest, each(rng, 0.18, 0.38, count), each(rng, 0.06, 0.16, count))
    tissue.empty(which, np.clip(cleft, 0, 1) * each(rng, 0.4, 1.0, count))
    outside = np.ones_like(tissue.eosin)
    outside[which] = 1 - nest
    tissue.cells = [cells.where(outside, rng) for cells in tissue.cells]
    tissue.cells.append(scatter(rng, TUMOUR, tissue.room(which, 0.9 * nest), spacing=11.5))
    return np.asarray(depth > 0)


def add_stromal_cells(rng: np.random.Generator, tissue: Tissue, angle: Array, cellular: Array, inflamed: Array) -> None:
    """Fibroblasts along the fibres and scattered lymphocytes; many of them in the images named.

    Args:
        rng: Source of randomness.
        tissue: Where to add them.
        angle: Direction of the fibres in radians, one an image.
        cellular: Indices of the images with many fibroblasts.
        inflamed: Indices of the images with crowds of lymphocytes.
    """
    count, size = angle.size, tissue.size
    crowd = smooth_noise(rng, inflamed.size, size, 9.0) + each(rng, -0.2, 1.6, inflamed.size)
    crowd = soft_step(crowd, 0.4) * each(rng, 0.55, 0.95, inflamed.size)
    crowd = tissue.room(inflamed, crowd * tissue.stroma[inflamed])
    share = each(rng, 0.08, 0.3, count)
    share[cellular] = each(rng, 0.5, 0.85, cellular.size)
    tissue.cells += [
        scatter(rng, LYMPHOCYTE, crowd, spacing=6.2),
        scatter(rng, LYMPHOCYTE, tissue.stroma * each(rng, 0.0, 0.08, count), spacing=9.0),
        scatter(rng, SPINDLE, (tissue.stroma - crowd) * share, spacing=8.5, angle=angle),
    ]
