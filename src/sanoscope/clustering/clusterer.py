"""Clusters of latents, and to which of them further latents belong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from sanoscope.clustering.algorithms import FINDERS
from sanoscope.clustering.settings import ClusterSettings
from sanoscope.errors import DataError, ModelError

# Differences that are in memory at once: 32 MB.
TOGETHER = 2**22


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters that were found, numbered by size, the largest first.

    Attributes:
        settings: How they were found.
        centres: ``(k, L)`` float64, in the latents' own units.
        sizes: ``(k,)`` int64, how many of the images that they were found in each holds; a mixture or mini-batches
            can leave a cluster without any.
        whitening: What differences from each centre are multiplied by before their length is taken: a factor for each
            dimension, ``(k, L)`` float64, or a matrix, ``(k, L, L)``.
        weights: ``(k,)`` float64, each cluster's share of a mixture; None for k-means.
    """

    settings: ClusterSettings
    centres: np.ndarray
    sizes: np.ndarray
    whitening: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def find(cls, latents: np.ndarray, settings: ClusterSettings, seed: int) -> Clustering:
        """Find clusters.

        The same latents and seed give the same clusters. With another number of threads sums are taken in another
        order; centres of k-means do not show it, as they are computed anew from the images of each cluster.

        Args:
            latents: ``(N, L)``, finite.
            settings: How.
            seed: Of the first centres, and of mini-batches.

        Raises:
            DataError: Latents that are not finite, or of fewer distinct images than clusters; a mixture that does not
                settle within the iterations.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.preprocessing import StandardScaler

        latents = _checked(latents)
        _refuse_few(latents, settings.clusters)
        scale = np.ones(latents.shape[1])
        if settings.scaling == "standard":
            scale = StandardScaler(with_mean=False).fit(latents).scale_  # 1 for a dimension that does not vary
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                found = FINDERS[settings.algorithm](latents / scale.astype(latents.dtype), settings, seed)
        except ConvergenceWarning as warning:
            raise DataError(
                f"{settings.algorithm} finds no {settings.clusters} clusters in {len(latents)} images ({warning}); "
                "ask for fewer clusters or more iterations"
            ) from warning
        centres, whitening, weights = found
        whitening = whitening / (scale if whitening.ndim == 2 else scale[:, None])
        return cls(settings, centres * scale, np.zeros(len(centres), np.int64), whitening, weights)._by_size(latents)

    def assign(self, latents: np.ndarray) -> np.ndarray:
        """The cluster of each image, ``(N,)`` int64: the nearest centre; of a mixture the likeliest component.

        It does not depend on what other images are given. An image that is as near to two centres goes to that whose
        coordinates come first in order.

        Args:
            latents: ``(N, L)``, finite.

        Raises:
            DataError: Latents that are not finite, or of another length.
        """
        # Not by number, so that numbering clusters by their sizes does not change the sizes.
        order = np.lexsort(self.centres.T[::-1])
        return np.asarray(order[self._farness(latents)[:, order].argmin(axis=1)], np.int64)

    def distances(self, latents: np.ndarray) -> np.ndarray:
        """The distance of each image to each centre, ``(N, k)`` float64.

        Euclidean, in standard deviations where the settings scale; of a mixture the Mahalanobis distance.

        Args:
            latents: ``(N, L)``, finite.

        Raises:
            DataError: Latents that are not finite, or of another length.
        """
        latents = _checked(latents)
        length = self.centres.shape[1]
        if latents.shape[1] != length:
            raise DataError(
                f"latents of {latents.shape[1]} dimensions, but the clusters were found in {length}; "
                "take latents of the same model"
            )
        result = np.empty((len(latents), len(self.centres)))
        together = max(TOGETHER // length, 1)
        for start in range(0, len(latents), together):
            rows = slice(start, start + together)
            part = latents[rows].astype(np.float64, order="C")
            for cluster, (centre, whitening) in enumerate(zip(self.centres, self.whitening, strict=True)):
                result[rows, cluster] = _lengths(part - centre, whitening)
        return result

    def probabilities(self, latents: np.ndarray) -> np.ndarray | None:
        """How likely each image is of each component of a mixture, ``(N, k)`` float64; None for k-means.

        Args:
            latents: ``(N, L)``, finite.

        Raises:
            DataError: Latents that are not finite, or of another length.
        """
        from scipy.special import softmax

        if self.weights is None:
            return None
        return np.asarray(softmax(-self._farness(latents), axis=1))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What was found, for saving; with the settings it is all that ``from_arrays`` needs."""
        arrays = {"centres": self.centres, "sizes": self.sizes, "whitening": self.whitening}
        return arrays if self.weights is None else arrays | {"weights": self.weights}

    @classmethod
    def from_arrays(cls, settings: ClusterSettings, arrays: dict[str, np.ndarray]) -> Clustering:
        """The clusters that ``to_arrays`` gave.

        Raises:
            ModelError: An array is missing, unknown or of another shape.
        """
        try:
            found = cls(settings, **arrays)
        except TypeError as error:
            raise ModelError(f"the stored clusters cannot be read ({error}); find them again") from error
        count, length = settings.clusters, found.centres.size // settings.clusters
        matrices = settings.algorithm == "gaussian-mixture" and settings.covariance in ("full", "tied")
        shapes = {
            "centres": (count, length),
            "sizes": (count,),
            "whitening": (count, length, length) if matrices else (count, length),
        } | ({"weights": (count,)} if settings.algorithm == "gaussian-mixture" else {})
        stored = {name: array.shape for name, array in arrays.items()}
        if stored != shapes:
            raise ModelError(f"the stored clusters have shapes {stored}, not {shapes}; find them again")
        return found

    def _farness(self, latents: np.ndarray) -> np.ndarray:
        """What is least for an image's own cluster, ``(N, k)``: distance; of a mixture minus the log-likelihood."""
        distances = self.distances(latents)
        if self.weights is None:
            return distances
        own = self.whitening if self.whitening.ndim == 2 else self.whitening.diagonal(axis1=1, axis2=2)
        return np.asarray(np.square(distances) / 2 - np.log(self.weights) - np.log(own).sum(axis=1))

    def _by_size(self, latents: np.ndarray) -> Clustering:
        """The same clusters, the largest in these latents first, of equal ones that with the earlier image."""
        clusters = self.assign(latents)
        sizes = np.bincount(clusters, minlength=len(self.centres))
        first = np.full(len(sizes), len(latents))
        np.minimum.at(first, clusters, np.arange(len(latents)))
        order = np.lexsort((first, -sizes))
        weights = None if self.weights is None else self.weights[order]
        return Clustering(self.settings, self.centres[order], sizes[order], self.whitening[order], weights)


def _checked(latents: np.ndarray) -> np.ndarray:
    """The latents as ``(N, L)`` float32, if they are, or float64."""
    latents = np.asarray(latents)
    if latents.ndim != 2 or not latents.shape[1]:
        raise DataError(f"latents of shape {latents.shape}; give (N, L), a row for each image")
    if not np.isfinite(latents).all():
        bad = np.flatnonzero(~np.isfinite(latents).all(axis=1))
        raise DataError(
            f"the latents of {bad.size} of {len(latents)} images are not finite, the first at row {bad[0]}; "
            "leave these images out, or train the model again"
        )
    return latents if latents.dtype == np.float32 else latents.astype(np.float64)


def _refuse_few(latents: np.ndarray, clusters: int) -> None:
    """Refuse latents of fewer distinct images than clusters."""
    distinct: set[bytes] = set()
    for row in latents:
        distinct.add((row + 0.0).tobytes())  # -0 becomes 0
        if len(distinct) == clusters:
            return
    if len(distinct) == 1 < len(latents):
        raise DataError(
            f"the latents of all {len(latents)} images are equal, so that there is nothing to tell them apart by; "
            "train the model longer, or take another"
        )
    raise DataError(
        f"{len(latents)} images, of which {len(distinct)} are distinct, are too few for {clusters} clusters; "
        "ask for fewer or give more images"
    )


def _lengths(differences: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """The lengths ``(n,)`` of differences ``(n, L)`` after multiplication by factors ``(L,)`` or a matrix ``(L, L)``.

    Each row is multiplied by itself: the product of a whole batch is rounded otherwise than that of one image.
    """
    whitened = differences * whitening if whitening.ndim == 1 else (differences[:, None] @ whitening)[:, 0]
    return np.asarray(np.sqrt(np.square(whitened).sum(axis=1)))
