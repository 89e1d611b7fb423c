"""Cells of the histology phantoms: where they lie, and how much stain they take up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.cases.phantoms.fields import Array, shaken_lattice, soft_step

HARMONICS = np.arange(2, 5)  # lobes of an outline: the first would only move it, finer ones are lost
AT_ONCE = 2048  # cells painted together: their windows then stay in the processor's cache


@dataclass(frozen=True)
class Kind:
    """How the nuclei of one kind of cell look; lengths in pixels.

    Attributes:
        radius: Median radius.
        spread: Standard deviation of the logarithm of the radius.
        aspect: Median ratio of length to width.
        lobes: Standard deviation of the outline's deviation from an ellipse, in radii.
        density: Median optical density.
        clumps: How far coarse chromatin raises and lowers the density, as a fraction.
        rim: How much paler the inside is than the membrane, as a fraction.
    """

    radius: float
    spread: float
    aspect: float
    lobes: float
    density: float
    clumps: float
    rim: float


SPINDLE = Kind(radius=2.4, spread=0.16, aspect=3.2, lobes=0.03, density=1.05, clumps=0.12, rim=0.0)
LYMPHOCYTE = Kind(radius=2.7, spread=0.08, aspect=1.08, lobes=0.02, density=1.35, clumps=0.12, rim=0.0)
EPITHELIAL = Kind(radius=3.3, spread=0.08, aspect=1.25, lobes=0.02, density=1.2, clumps=0.12, rim=0.25)
TUMOUR = Kind(radius=5.2, spread=0.22, aspect=1.25, lobes=0.09, density=1.65, clumps=0.4, rim=0.35)
ERYTHROCYTE = Kind(radius=2.7, spread=0.08, aspect=1.2, lobes=0.02, density=1.1, clumps=0.0, rim=0.2)


@dataclass(frozen=True)
class Cells:
    """Cells of one kind: index of the image, column, row and direction of the long axis, each ``(M,)``."""

    kind: Kind
    image: Array
    x: Array
    y: Array
    angle: Array

    def where(self, chance: Array, rng: np.random.Generator) -> Cells:
        """Those that chance leaves, by the probability at the pixel nearest to each; ``(N, H, W)``."""
        height, width = chance.shape[1:]
        row = np.clip(np.rint(self.y), 0, height - 1).astype(int)
        column = np.clip(np.rint(self.x), 0, width - 1).astype(int)
        keep = rng.random(self.image.size) < chance[self.image, row, column]
        return Cells(self.kind, self.image[keep], self.x[keep], self.y[keep], self.angle[keep])


def scatter(rng: np.random.Generator, kind: Kind, chance: Array, spacing: float, angle: Array | None = None) -> Cells:
    """Cells on shaken lattices, wherever there is room.

    Args:
        rng: Source of randomness.
        kind: What they look like.
        chance: Probability that a place of the lattice at this pixel is taken, ``(N, H, W)``.
        spacing: Mean distance between neighbouring places in pixels.
        angle: Direction of the long axes in radians, one an image, ``(N,)``; at random where None.
    """
    count, size = chance.shape[0], chance.shape[-1]
    # A larger shake would make neighbours merge, a smaller one would show the lattice.
    x, y = shaken_lattice(rng, count, size, np.full(count, spacing), shake=0.16)
    margin = kind.radius * kind.aspect
    image, place = np.nonzero((np.abs(2 * np.stack([x, y]) - size + 1) < size + 2 * margin).all(axis=0))
    direction = rng.uniform(0, np.pi, image.size) if angle is None else rng.normal(angle[image], 0.25)
    return Cells(kind, image, x[image, place], y[image, place], direction).where(chance, rng)


def line_up(
    rng: np.random.Generator, kind: Kind, image: Array, path: Array, x: Array, y: Array, spacing: float
) -> Cells:
    """Cells side by side along closed paths: spindles follow the path, others stand across it.

    Args:
        rng: Source of randomness.
        kind: What they look like.
        image: Index of the image of each path, ``(P,)``.
        path: Radii of the paths at equal angles, ``(P, A)``.
        x: Column of the centre of each path, ``(P,)``.
        y: Row of the centre of each path, ``(P,)``.
        spacing: Distance between neighbours in pixels.
    """
    number = np.rint(2 * np.pi * path.mean(axis=1) / spacing).astype(int)
    which = np.repeat(np.arange(image.size), number)
    step = np.arange(which.size) - np.repeat(np.cumsum(number) - number, number)
    ray = 2 * np.pi * (step + rng.normal(0, 0.12, which.size)) / number[which]
    at = np.rint(ray / (2 * np.pi) * path.shape[1]).astype(int) % path.shape[1]
    radius = path[which, at] + rng.normal(0, 0.5, which.size)
    direction = ray + rng.normal(0, 0.2, which.size) + (np.pi / 2 if kind is SPINDLE else 0.0)
    return Cells(kind, image[which], x[which] + radius * np.cos(ray), y[which] + radius * np.sin(ray), direction)


def paint(rng: np.random.Generator, cells: Cells, texture: Array) -> Array:
    """Optical density of the cells, ``(N, H, W)``.

    Densities of overlapping cells add, as in a section several micrometres thick.

    Args:
        rng: Source of their sizes and shapes.
        cells: What to paint.
        texture: Chromatin, fields of zero mean and unit variance, ``(N, H, W)``.
    """
    kind, number = cells.kind, cells.image.size
    radius = kind.radius * np.exp(rng.normal(0, kind.spread, number))
    stretch = np.sqrt(np.maximum(kind.aspect * np.exp(rng.normal(0, 0.12, number)), 1.0))
    density = kind.density * np.exp(rng.normal(0, 0.12, number))
    lobes = rng.normal(0, kind.lobes, (2, HARMONICS.size, number)) / np.sqrt(HARMONICS / 2)[:, None]
    painted = np.zeros(texture.size)
    for start in range(0, number, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        pixel, depth = _windows(cells, part, radius[part], stretch[part], lobes[..., part], texture.shape)
        inside = soft_step(depth, 1.4) * (1 - kind.rim * soft_step(depth - 1.6, 2.0))
        inside *= density[part, None, None]
        seen = pixel >= 0
        painted += np.bincount(pixel[seen], inside[seen], texture.size)
    grain = np.clip(1 + kind.clumps * texture, 0.2, 2.0)  # chromatin neither vanishes nor turns black
    return np.asarray(painted.reshape(texture.shape) * grain)


def _windows(
    cells: Cells, part: slice, radius: Array, stretch: Array, lobes: Array, shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Flat index of each pixel around each cell (-1 off the image), and its depth inside, ``(M, K, K)``."""
    _, height, width = shape
    reach = int(np.ceil((radius * stretch).max() * (1 + 3 * cells.kind.lobes))) + 1
    steps = np.arange(-reach, reach + 1)
    image, x, y, angle = (a[part, None, None] for a in (cells.image, cells.x, cells.y, cells.angle))
    columns = np.rint(x).astype(int) + steps
    rows = np.rint(y).astype(int) + steps[:, None]
    long, short = ((radius * stretch)[:, None, None], (radius / stretch)[:, None, None])
    along = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / long
    across = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)) / short
    distance = np.hypot(along, across)
    ray = (along + 1j * across) / np.maximum(distance, 1e-9)
    power, outline = ray, np.ones_like(distance)
    for lobe in (lobes[0] - 1j * lobes[1])[..., None, None]:
        power = power * ray  # exp(i k angle), from the second harmonic on
        outline += (lobe * power).real
    on_image = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixel = np.where(on_image, (image * height + rows) * width + columns, -1)
    return pixel, (outline - distance) * short  # near enough the depth in pixels, as nuclei are not very long
