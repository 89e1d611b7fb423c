"""More like this: the images whose latents are nearest to those of a given one."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from sanoscope.errors import DataError, OptionError

DISTANCES = ("euclidean", "cosine")


def nearest(
    latents: np.ndarray, query: np.ndarray, count: int, metric: str = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """The images nearest to a query, in order, of equals the earlier row.

    Every distance is computed for itself: it does not depend on which other images there are, and copies of an image
    are equally far.

    Args:
        latents: Of the images to look among, ``(N, L)``.
        query: Latents of one image, ``(L,)``. If it is among the images, it is found at a distance of 0.
        count: How many images; all, if there are no more.
        metric: ``"euclidean"``, or ``"cosine"``, which is 1 - the cosine of the angle between two vectors, 0 to 2,
            and so blind to their lengths. An image whose latents are all zero has no direction; it is as far as one
            at a right angle, 1.

    Returns:
        Rows ``(count,)`` and distances ``(count,)`` float64, the nearest first.

    Raises:
        OptionError: A metric or a count that cannot be.
        DataError: Another number of latents than the images have, a value that is not finite, or a query without a
            direction under ``"cosine"``.
    """
    if metric not in DISTANCES:
        raise OptionError(f"metric={metric!r}: choose one of {', '.join(DISTANCES)}")
    if count < 1:
        raise OptionError(f"count={count}: at least 1 is needed")
    latents, query = np.asarray(latents, np.float64), np.asarray(query, np.float64)
    if query.shape != latents.shape[1:]:
        raise DataError(
            f"the query has latents of shape {query.shape}, the images of {latents.shape[1:]}; "
            "encode both with the same model"
        )
    if not (np.isfinite(latents).all() and np.isfinite(query).all()):
        raise DataError("some latents are not finite, so they have no distance; train the model anew")
    distances = _cosine(latents, query) if metric == "cosine" else cdist(latents, query[None])[:, 0]
    rows = np.argsort(distances, kind="stable")[:count]
    return rows, distances[rows]


def _cosine(latents: np.ndarray, query: np.ndarray) -> np.ndarray:
    if not query.any():
        raise DataError("the latents of the query are all zero and have no direction; use metric='euclidean'")
    lengths = np.linalg.norm(latents, axis=1)
    directions = latents / np.where(lengths > 0, lengths, 1.0)[:, None]
    # Half the squared chord is 1 - cosine without its cancellation, so that small angles keep their order.
    distances = cdist(directions, (query / np.linalg.norm(query))[None], "sqeuclidean")[:, 0] / 2
    return np.where(lengths > 0, distances, 1.0)
