"""Which images to look at in order to understand a cluster: its most central ones, and its least sure ones."""

from __future__ import annotations

import numpy as np


def central(distances: np.ndarray, clusters: np.ndarray, size: int) -> list[list[int]]:
    """The images that show what a cluster is: those nearest to its centre.

    Args:
        distances: Of each image to each centre, ``(N, k)``.
        clusters: The cluster of each image, ``(N,)`` whole numbers 0 … k-1.
        size: The most images of a cluster.

    Returns:
        For each of the k clusters rows of images, the nearest to its centre first, of equals the earlier row; none
        for a cluster without images.
    """
    own = np.take_along_axis(distances, clusters[:, None], axis=1)[:, 0]
    return _least(own, clusters, distances.shape[1], size)


def marginal(distances: np.ndarray, clusters: np.ndarray, size: int) -> list[list[int]]:
    """The images that show where a cluster ends: those hardly nearer to its centre than to another.

    They are in the order of ``b² - a²``, of the distance a to the own centre and b to the nearest other one. Between
    two centres that is the distance from the boundary, up to a factor; and it is the logarithm of the odds of the two
    clusters for Gaussians of one spherical covariance, of which k-means is the limit (Bishop: "Pattern recognition
    and machine learning" (2006), section 9.3.2). The ratio of the distances would take every outlier for unsure.

    Args:
        distances: Of each image to each centre, ``(N, k)``.
        clusters: The cluster of each image, ``(N,)`` whole numbers 0 … k-1. It need not be that of the nearest
            centre: in a mixture, an image may be nearer to the centre of another. Such images come first.
        size: The most images of a cluster.

    Returns:
        For each of the k clusters rows of images, the least sure first, of equals the earlier row; none for a cluster
        without images, nor for a sole cluster, as it borders on none.
    """
    if distances.shape[1] == 1:
        return [[]]
    squared = np.square(distances)
    own = np.take_along_axis(squared, clusters[:, None], axis=1)[:, 0]
    np.put_along_axis(squared, clusters[:, None], np.inf, axis=1)
    return _least(squared.min(axis=1) - own, clusters, distances.shape[1], size)


def _least(values: np.ndarray, clusters: np.ndarray, number: int, size: int) -> list[list[int]]:
    """Rows of the least values of each cluster, in order."""
    order = np.argsort(values, kind="stable")
    return [order[clusters[order] == cluster][:size].tolist() for cluster in range(number)]
