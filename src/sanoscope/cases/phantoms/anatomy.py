"""The anatomy of the brain phantoms: surface, folds, fissures, deep nuclei and ventricles of axial slices.

Lengths are in 128ths of the image's width, about 1.4 mm; x points to the left of the subject, y to the back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.cases.phantoms.fields import Array, frequencies, pixel_grid, shaped_noise, smooth_noise, soft_step

Point = tuple[float, float]

# Centre x, y, half axes, turn in radians, level and half the range of levels: thalamus, caudate and putamen.
DEEP_NUCLEI = (
    (9.5, 6.0, 6.0, 8.5, -0.35, 0.02, 0.28),
    (11.0, -12.0, 3.2, 7.0, -0.25, 0.08, 0.34),
    (21.0, -2.0, 4.2, 11.0, -0.15, 0.00, 0.25),
)


@dataclass(frozen=True)
class Slices:
    """Axial slices of one brain, each field ``(N, H, W)``.

    Attributes:
        depth: Distance below the surface of the brain; negative outside.
        grey: Share of cortical grey matter in the tissue.
        deep_grey: Share of deep grey matter in the tissue.
        fluid: Share of cerebrospinal fluid.
        ventricle: Depth inside the ventricles; negative outside.
        level: Height of each slice, from 0 at the ventricles to 1 above the vertex, ``(N, 1, 1)``.
        scale: Pixels in a unit of length.
    """

    depth: Array
    grey: Array
    deep_grey: Array
    fluid: Array
    ventricle: Array
    level: Array
    scale: float


def slices(rng: np.random.Generator, count: int, size: int) -> Slices:
    """Slices from the basal ganglia to below the vertex of a subject with a shape of its own."""
    scale = size / 128
    level = (np.linspace(-0.2, 0.72, count) + rng.uniform(-0.03, 0.03))[:, None, None]
    x, y = _coordinates(rng, size)
    depth = _depth(rng, x, y, level) + 0.5 * smooth_noise(rng, count, size, 3.0 * scale)
    sulci = _sulci(rng, depth, level)
    # The halves meet in the corpus callosum at the middle levels, so that the fissure stops before it.
    bridge = np.clip((0.42 - level) / 0.1, 0, 1) * np.maximum(20 - np.abs(y - 1), 0)
    fissure = np.hypot(x + 0.9 * smooth_noise(rng, count, size, 6.0 * scale), bridge)
    sylvian_level = np.exp(-((level / 0.16) ** 2))
    sylvian_path = [(50.0, -14.0), (33.0, -9.0), (27.0, 0.0), (28.0, 10.0)]
    sylvian = 30 * (1 - sylvian_level) - _path_depth(np.abs(x), y, sylvian_path, [1.2, 0.9, 0.8, 0.3])
    ventricle = _ventricles(rng, x, y, level)

    edge = max(1.0, 1 / scale)  # coarse pixels mix more tissue
    atrophy = rng.uniform(0.8, 1.35)
    nearest = np.minimum.reduce([depth, sulci, fissure, sylvian + 0.5])
    cortex = rng.normal(2.9, 0.15)
    grey = 1 - soft_step(nearest - cortex, 1.8 * edge)
    fluid = np.maximum.reduce(
        [
            1 - soft_step(sulci - atrophy * (0.6 - 0.3 * np.clip(depth / 14, 0, 1)), 1.2 * edge),
            1 - soft_step(fissure - 0.7 * atrophy, 1.2 * edge),
            1 - soft_step(sylvian - 0.3, edge),
            1 - soft_step(depth - 0.8 * atrophy, 1.6 * edge),
            soft_step(ventricle, 1.2 * edge) * soft_step(depth, edge),
        ]
    )
    return Slices(depth, grey, _deep_grey(x, y, level, edge), fluid, ventricle, level, scale)


def _coordinates(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Shifted, tilted and slightly warped, as no head is straight or symmetric; each ``(H, W)``."""
    scale = size / 128
    rows, columns = ((axis - (size - 1) / 2) / scale for axis in pixel_grid(size))
    rows, columns = rows - rng.normal(0, 1.2), columns - rng.normal(0, 1.2)
    tilt = rng.normal(0, 0.05)
    warp = 1.3 * smooth_noise(rng, 2, size, 13.0 * scale)
    x = columns * np.cos(tilt) + rows * np.sin(tilt) + warp[0]
    return x, rows * np.cos(tilt) - columns * np.sin(tilt) + warp[1]


def _depth(rng: np.random.Generator, x: Array, y: Array, level: Array) -> Array:
    """Distance below a super-ellipse, narrower in front, that shrinks towards the vertex."""
    shrink = np.sqrt(1 - np.abs(level) ** 2.2)
    half_width = rng.normal(44, 1.6) * shrink
    half_length = rng.normal(55, 1.8) * (0.15 + 0.85 * shrink)
    u, v = np.abs(x) / half_width, y / half_length
    u = u * (1 + 0.16 * np.clip(-v, 0, 1) ** 1.5) * (1 + 0.05 * np.clip(v, 0, 1))
    radius = (u**2.25 + np.abs(v) ** 2.25) ** (1 / 2.25)
    return np.asarray((1 - radius) * (half_width + half_length) / 2)


def _sulci(rng: np.random.Generator, depth: Array, level: Array) -> Array:
    """Distance to the nearest sulcus.

    Sulci are the zero crossings of noise of one wavelength, which wind like the folds of a cortex, down to a
    depth that varies from place to place.
    """
    count, size = depth.shape[0], depth.shape[-1]
    scale = size / 128
    spatial = 2 * np.pi / (15.5 * scale)
    ring = np.exp(-0.5 * ((np.hypot(*frequencies(size)) / spatial - 1) / 0.22) ** 2)
    folds = shaped_noise(rng, ring, count)
    slope = scale * np.hypot(*np.gradient(folds, axis=(1, 2)))
    across = np.abs(folds) / np.hypot(slope, 0.1)  # the constant bounds it where the noise is flat
    reach = 14.5 + 6 * np.clip((level - 0.2) / 0.3, 0, 1) + 5 * smooth_noise(rng, count, size, 7.0 * scale)
    return np.asarray(np.hypot(across, np.maximum(depth - reach, 0)))


def _deep_grey(x: Array, y: Array, level: Array, edge: float) -> Array:
    """Share of deep grey matter, alike on both sides."""
    share = np.zeros(np.broadcast(x, level).shape)
    for centre_x, centre_y, across, along, turn, middle, extent in DEEP_NUCLEI:
        dx, dy = np.abs(x) - centre_x, y - centre_y
        p = (dx * np.cos(turn) + dy * np.sin(turn)) / across
        q = (dy * np.cos(turn) - dx * np.sin(turn)) / along
        present = np.clip(1.5 - 1.5 * np.abs(level - middle) / extent, 0, 1)
        share = np.maximum(share, present * soft_step((1 - np.hypot(p, q)) * across, 1.5 * edge))
    return share


def _ventricles(rng: np.random.Generator, x: Array, y: Array, level: Array) -> Array:
    """Depth inside the ventricles: horns and bodies of the lateral ones, and the slit of the third."""
    width = rng.lognormal(0, 0.28)
    away = 4 * width * np.clip(1.3 * ((level - 0.1) / 0.27) ** 2 - 0.3, 0, 1)
    inside = np.full(np.broadcast(x, level).shape, -np.inf)
    for side in (-1, 1):
        w = width * rng.lognormal(0, 0.1)
        front = _path_depth(side * x, y, [(8, -22), (4.8, -12), (4.5, -2)], [2.2 * w, 2.8 * w, 2.2 * w])
        body = _path_depth(side * x, y, [(4.5, -2), (6.5, 8), (10, 16)], [2.2 * w, 2.4 * w, 2.8 * w])
        back = _path_depth(side * x, y, [(10, 16), (15, 22), (17, 31)], [2.8 * w, 2.6 * w, 0.8 * w])
        body = body - 3 * np.clip((0.03 - level) / 0.1, 0, 1)  # the thalamus lies below it
        back = back - 3 * np.clip((level + 0.02) / 0.2, 0, 1)  # the horn bends down
        inside = np.maximum(inside, np.maximum(np.maximum(front, body), back) - away)
    third = _path_depth(x, y, [(0, -1), (0, 11)], [0.9 * width, 1.1 * width])
    return np.asarray(np.maximum(inside, third - 3 * np.clip((level - 0.02) / 0.08, 0, 1)))


def _path_depth(x: Array, y: Array, path: list[Point], width: list[float]) -> Array:
    """Depth inside a band along a path, whose half width is given at each of its points."""
    depth = np.full(x.shape, -np.inf)
    for (ax, ay), (bx, by), start, end in zip(path, path[1:], width, width[1:], strict=False):
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        depth = np.maximum(depth, start + t * (end - start) - np.hypot(x - ax - t * dx, y - ay - t * dy))
    return depth
