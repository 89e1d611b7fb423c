"""Random smooth fields and shapes, the raw material of both kinds of phantom.

All of it is computed in double precision, so that the last digits, which may differ between machines, do
not reach the stored grey levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


def pixel_grid(size: int) -> tuple[Array, Array]:
    """Rows and columns of the pixels' centres, each ``(size, size)``."""
    rows, columns = np.mgrid[:size, :size].astype(float)
    return rows, columns


def soft_step(distance: Array, width: float) -> Array:
    """0 below, 1 above zero, with a smooth edge ``width`` wide (same unit as ``distance``)."""
    ramp = np.clip(distance / width + 0.5, 0.0, 1.0)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def each(rng: np.random.Generator, low: float, high: float, count: int) -> Array:
    """One uniform number an image, ``(count, 1, 1)``, to multiply fields with."""
    return rng.uniform(low, high, (count, 1, 1))


def smooth_noise(
    rng: np.random.Generator,
    count: int,
    size: int,
    sigma: ArrayLike,
    sigma_across: ArrayLike | None = None,
    angle: ArrayLike = 0.0,
) -> Array:
    """Gaussian-filtered Gaussian noise of zero mean and unit variance, periodic in both directions.

    Args:
        rng: Source of the noise.
        count: How many fields.
        size: Height and width in pixels.
        sigma: Standard deviation of the filter in pixels; along ``angle`` where it is elongated.
        sigma_across: Standard deviation across ``angle``; the same as along it where None.
        angle: Direction of the long axis in radians, one for all or one a field, ``(count,)``.

    Returns:
        ``(count, size, size)``.
    """
    along = np.asarray(sigma, float)[..., None, None]
    across = along if sigma_across is None else np.asarray(sigma_across, float)[..., None, None]
    cos, sin = (f(np.asarray(angle, float))[..., None, None] for f in (np.cos, np.sin))
    kx, ky = frequencies(size)
    gain = np.exp(-0.5 * ((along * (kx * cos + ky * sin)) ** 2 + (across * (ky * cos - kx * sin)) ** 2))
    return shaped_noise(rng, gain, count)


def frequencies(size: int) -> tuple[Array, Array]:
    """Horizontal and vertical angular frequencies of a square's real Fourier transform.

    Returns:
        ``(1, size // 2 + 1)`` and ``(size, 1)``, in radians a pixel.
    """
    return 2 * np.pi * np.fft.rfftfreq(size)[None, :], 2 * np.pi * np.fft.fftfreq(size)[:, None]


def shaped_noise(rng: np.random.Generator, gain: Array, count: int) -> Array:
    """Gaussian noise with a given gain at each frequency but 0, scaled to unit variance.

    Args:
        rng: Source of the noise.
        gain: As large as ``frequencies`` broadcast, for all fields or one each, ``([count,] H, H // 2 + 1)``.
        count: How many fields.

    Returns:
        ``(count, H, H)``.
    """
    shape = (gain.shape[-2],) * 2
    white = rng.standard_normal((count, *shape))
    noise, kernel = (np.fft.irfft2(spectrum, s=shape) for spectrum in (np.fft.rfft2(white) * gain, gain))
    noise, kernel = (field - field.mean(axis=(-2, -1), keepdims=True) for field in (noise, kernel))
    return np.asarray(noise / np.sqrt(np.sum(kernel**2, axis=(-2, -1), keepdims=True)))


def shaken_lattice(
    rng: np.random.Generator, count: int, size: int, spacing: Array, shake: float
) -> tuple[Array, Array]:
    """Points of turned triangular lattices, each moved at random, that cover a square and its surroundings.

    Args:
        rng: Source of the moves.
        count: How many lattices.
        size: Side of the square in pixels.
        spacing: Distance between neighbours in pixels, one a lattice, ``(count,)``.
        shake: Standard deviation of a move, as a fraction of the spacing.

    Returns:
        Columns and rows of the points, each ``(count, P)``.
    """
    rows = 0.82 * size / spacing.min(initial=size)  # of the lattice in half the diagonal
    steps = int(np.ceil(rows)) + 1
    row, column = np.mgrid[-steps : steps + 1, -steps : steps + 1].reshape(2, -1)
    moves = rng.normal(0, shake, (2, count, row.size)) + rng.uniform(-0.5, 0.5, (2, count, 1))
    a = (column + 0.5 * (row % 2) + moves[0]) * spacing[:, None]
    b = (row * np.sqrt(0.75) + moves[1]) * spacing[:, None]
    turn = rng.uniform(0, np.pi, (count, 1))
    middle = (size - 1) / 2
    return middle + a * np.cos(turn) - b * np.sin(turn), middle + a * np.sin(turn) + b * np.cos(turn)


def blob_outline(rng: np.random.Generator, radius: Array, roughness: float) -> Array:
    """Radii of irregular closed outlines at 256 equal angles, ``(N, 256)``.

    Args:
        rng: Source of the irregularities.
        radius: Median radius of each in pixels, ``(N,)``.
        roughness: Standard deviation of the logarithm of the radius.
    """
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    order = np.arange(1, 7)  # finer waves would look torn
    waves = rng.standard_normal((2, radius.size, order.size)) / order
    waves *= roughness / np.sqrt(np.sum(1.0 / order**2))
    shape = waves[0] @ np.cos(order[:, None] * angle) + waves[1] @ np.sin(order[:, None] * angle)
    return np.asarray(radius[:, None] * np.exp(shape))


def blob_depth(outline: Array, x: Array, y: Array, size: int) -> Array:
    """How far each pixel lies inside an outline, along the ray from its centre; negative outside.

    Args:
        outline: Radii at equal angles, ``(N, A)``, as from ``blob_outline``.
        x: Column of each centre, ``(N,)``.
        y: Row of each centre, ``(N,)``.
        size: Height and width of the fields in pixels.
    """
    rows, columns = pixel_grid(size)
    dx, dy = columns - x[:, None, None], rows - y[:, None, None]
    turn = outline.shape[1] / (2 * np.pi)
    at = np.rint(np.arctan2(dy, dx) * turn).astype(int) % outline.shape[1]
    return np.asarray(outline[np.arange(x.size)[:, None, None], at] - np.hypot(dx, dy))
