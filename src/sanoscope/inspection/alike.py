"""Images that are nearly the same, such as one file saved twice in two formats, told by their small grey pictures."""

from __future__ import annotations

import numpy as np

from sanoscope.inspection.seen import Seen, subject_of

# Every image is compared with every other, so that of more images some are drawn.
MOST_COMPARED = 20_000
# Of the 64 bits of a difference hash (is each pixel of 8 × 9 brighter than its left neighbour), those that may differ.
BITS, MOST_DIFFERENT = 64, 4
# Correlation of the small pictures of two that are called nearly the same; a copy in JPEG has 0.999 and more.
LEAST_CORRELATION = 0.998
BLOCK = 1024  # rows compared at once
MOST_PAIRS = 1_000_000  # where there are so many, what follows is hardly news


def compared(seen: Seen, seed: int = 0) -> np.ndarray:
    """The indices of the images that are compared: those that show something, of very many a seeded sample."""
    candidates = np.flatnonzero(~seen.constant)
    if len(candidates) <= MOST_COMPARED:
        return candidates
    return np.sort(np.random.default_rng(seed).choice(candidates, MOST_COMPARED, replace=False))


def nearly_same(seen: Seen, chosen: np.ndarray) -> list[list[int]]:
    """Groups of indices of images that are nearly the same, in order of their first.

    Images of one subject are not compared: neighbouring slices look alike, and a split by subject keeps them together.

    Args:
        seen: The images.
        chosen: The indices of those to compare, from ``compared``.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(chosen) < 2:
        return []
    small = np.stack([seen.looks[index].small for index in chosen]).astype(np.float32)  # (N, 16, 18)
    names = [subject_of(seen.cases[int(index)]) for index in chosen]
    _, subjects = np.unique(names, return_inverse=True)
    pairs = _close_pairs(_hashes(small), _standardised(small), subjects)
    if not len(pairs):
        return []
    rows, columns = pairs.T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(chosen), len(chosen)))
    _, groups = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for place in np.unique([rows, columns]):
        members.setdefault(int(groups[place]), []).append(int(chosen[place]))
    return sorted(members.values())


def _hashes(small: np.ndarray) -> np.ndarray:
    """The difference hash of each picture, 1 and −1, ``(N, 64)``."""
    halved = small.reshape(len(small), 8, 2, 9, 2).mean(axis=(2, 4))
    return np.where(halved[:, :, 1:] > halved[:, :, :-1], 1, -1).reshape(len(small), BITS).astype(np.float32)


def _standardised(small: np.ndarray) -> np.ndarray:
    """Each picture so that the product of two is their correlation, ``(N, 288)``."""
    flat = small.reshape(len(small), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _close_pairs(hashes: np.ndarray, standard: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Pairs of rows of other subjects that hardly differ, ``(P, 2)``, the lower first; at most about a million."""
    pairs = [np.zeros((0, 2), int)]
    for start in range(0, len(hashes), BLOCK):
        agreement = hashes[start : start + BLOCK] @ hashes[start:].T  # 64 less twice the bits that differ
        close = np.argwhere(np.triu(agreement >= BITS - 2 * MOST_DIFFERENT, 1)) + start
        close = close[subjects[close[:, 0]] != subjects[close[:, 1]]]
        correlations = np.einsum("ij,ij->i", standard[close[:, 0]], standard[close[:, 1]])
        pairs.append(close[correlations >= LEAST_CORRELATION])
        if sum(map(len, pairs)) > MOST_PAIRS:
            break
    return np.concatenate(pairs)
