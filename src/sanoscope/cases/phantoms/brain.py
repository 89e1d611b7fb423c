"""Brain-like phantoms: skull-stripped axial T2-weighted slices, with lesions that run through several."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sanoscope.cases.phantoms import anatomy
from sanoscope.cases.phantoms.anatomy import Slices
from sanoscope.cases.phantoms.collection import Phantoms, check_whole, gather, generators, is_healthy
from sanoscope.cases.phantoms.fields import Array, blob_depth, blob_outline, smooth_noise, soft_step
from sanoscope.errors import DataError

# Signal of the tissues in a T2-weighted image, relative to fluid. That of a lesion lies between grey matter
# and fluid, so that no threshold finds lesions alone.
WHITE, GREY, DEEP_GREY, FLUID = 0.38, 0.57, 0.52, 1.0
LESION, OEDEMA = (0.72, 0.86), (0.60, 0.70)

HEIGHT = 58  # of the brain above the ventricles, in units of length


def brain_phantoms(
    subjects: int = 20,
    slices_per_subject: int = 16,
    size: int = 128,
    seed: int = 0,
    healthy_every: int = 3,
    bit_depth: int = 8,
) -> Phantoms:
    """Axial brain slices in which abnormal means a bright, irregular lesion with a rim of oedema.

    Subjects differ in shape, size, position, ventricles, atrophy, contrast and scanner gain; slices run from
    the basal ganglia to below the vertex. One or two lesions of a subject reach through several of its slices,
    and a slice is abnormal where one is seen. The mask is the lesion with its oedema. Outside the brain all
    is 0. The first subjects are the same however many follow.

    Args:
        subjects: How many patients; 20 leave several on each side of a split.
        slices_per_subject: How many slices of each.
        size: Height and width in pixels, at least 64. The whole brain is shown at every size.
        seed: What the images are drawn from, at least 0.
        healthy_every: Every how many-th subject has no lesion, as results per subject need both; 0 for none.
        bit_depth: 8 for 256 levels in uint8; 12 for 4096 levels in uint16, as scanners store.

    Returns:
        Images ``(N, H, W)`` uint8 or uint16 with labels, masks and subjects.

    Raises:
        DataError: If an argument is out of range.
    """
    check_whole("subjects", subjects, least=1)
    check_whole("slices_per_subject", slices_per_subject, least=1)
    check_whole("size", size, least=64)
    check_whole("seed", seed, least=0)
    check_whole("healthy_every", healthy_every, least=0)
    if bit_depth not in (8, 12):
        raise DataError(f"phantoms: bit_depth={bit_depth!r}; give 8 or 12")
    top = 2**bit_depth - 1
    parts = []
    for subject, rng in enumerate(generators(seed, subjects)):
        brain = anatomy.slices(rng, slices_per_subject, size)
        lesions = 0 if is_healthy(subject, healthy_every) else int(rng.integers(1, 3))
        signal, mask = _tissue_signal(rng, brain, lesions)
        levels = np.clip(np.rint(_scan(rng, brain, signal) * top), 0, top)
        parts.append((levels.astype(np.uint8 if bit_depth == 8 else np.uint16), mask))
    return gather(parts)


def _tissue_signal(rng: np.random.Generator, brain: Slices, lesions: int) -> tuple[Array, Array]:
    """Signal of the tissues before it is scanned, and the mask of the lesions, each ``(N, H, W)``."""
    count, size, scale = len(brain.depth), brain.depth.shape[-1], brain.scale
    white, grey, deep_grey, fluid = np.array([WHITE, GREY, DEEP_GREY, FLUID]) * np.exp(rng.normal(0, 0.04, 4))
    white = white * (1 + 0.03 * smooth_noise(rng, count, size, 2.5 * scale))
    white = white * (1 + 0.04 * smooth_noise(rng, count, size, 9.0 * scale))
    grey = grey * (1 + 0.04 * smooth_noise(rng, count, size, 1.5 * scale))
    matter = white + brain.deep_grey * (deep_grey - white)
    matter += brain.grey * (grey - matter)
    share = brain.fluid.copy()
    mask = np.zeros(matter.shape, bool)
    for _ in range(lesions):
        _add_lesion(rng, brain, matter, share, mask)
    return matter + share * (fluid - matter), mask


def _add_lesion(rng: np.random.Generator, brain: Slices, matter: Array, fluid: Array, mask: Array) -> None:
    """Put one lesion into the signal of the tissue, the share of fluid and the mask."""
    size, scale = matter.shape[-1], brain.scale
    radius = rng.uniform(4, 13)
    middle = rng.integers(len(matter))
    places = np.argwhere((brain.depth[middle] > 6 + 0.5 * radius) & (brain.ventricle[middle] < -2))
    y, x = places[rng.integers(len(places))].astype(float)
    away = HEIGHT * (brain.level - brain.level[middle]).ravel()
    seen = np.flatnonzero(np.abs(away) < 0.9 * radius)  # the last slice of a ball would show but a dot
    across = np.sqrt(radius**2 - away[seen] ** 2)
    outline = blob_outline(rng, np.ones(1), roughness=0.16) * blob_outline(rng, scale * across, roughness=0.10)
    core = blob_depth(outline, np.full(seen.size, x), np.full(seen.size, y), size) / scale
    core += 0.8 * smooth_noise(rng, seen.size, size, 1.8 * scale)
    rim = rng.uniform(0.25, 0.7) * radius
    spread = 1 + 0.45 * smooth_noise(rng, seen.size, size, 3.5 * scale)
    halo = core + rim * (spread - 0.9 * brain.grey[seen])  # oedema follows white matter and spares the cortex

    inside = soft_step(brain.depth[seen] - 0.5, 1.0) * soft_step(-brain.ventricle[seen], 1.2)
    tumour, oedema = soft_step(core, 1.6) * inside, soft_step(halo, 2.5) * inside
    matter[seen] += oedema * (np.maximum(rng.uniform(*OEDEMA), matter[seen]) - matter[seen])
    texture = 1 + 0.07 * smooth_noise(rng, seen.size, size, 1.6 * scale)
    matter[seen] += tumour * (rng.uniform(*LESION) * texture - matter[seen])
    fluid[seen] *= 1 - 0.85 * tumour  # it presses the sulci shut
    mask[seen] |= np.maximum(tumour, oedema) > 0.5


def _scan(rng: np.random.Generator, brain: Slices, signal: Array) -> Array:
    """Blur, bias field, gain of the scanner and Rician noise; mostly within 0 and 1, ``(N, H, W)``."""
    count, size, scale = len(signal), signal.shape[-1], brain.scale
    signal = ndimage.gaussian_filter(signal, (0, 0.5 * scale, 0.5 * scale))
    bias = 0.07 * smooth_noise(rng, count, size, 38.0 * scale)
    gain = 0.70 * np.exp(rng.normal(0, 0.08))  # units of magnetic resonance are arbitrary
    signal = signal * gain * np.exp(bias) * soft_step(brain.depth + 0.6, 1.2)
    noise = rng.uniform(0.012, 0.022) * rng.standard_normal((2, *signal.shape))
    return np.asarray(np.hypot(signal + noise[0], noise[1]) * (brain.depth > -0.6))  # the skull is stripped
