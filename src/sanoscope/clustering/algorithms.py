"""Searches for clusters by scikit-learn: k-means, mini-batch k-means and mixtures of Gaussians.

Liu, Zhang: Deep convolutional autoencoder network for breast histopathology image clustering, has mini-batch k-means
"until convergence"; its code began with that too and ended with full k-means, 50 starts and at most 1,000 iterations.
A mixture lets clusters have shapes of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sanoscope.clustering.settings import ClusterSettings

# The first published code has 1: again and again the centre of the smaller cluster becomes a random image, and where
# learning ends soon after, it stays one. On 3,600 histology patches, two clusters, that left the squared distances to
# the centres 38 to 56 % above those of full k-means, and other clusters (adjusted Rand index 0.00 to 0.34);
# scikit-learn's default leaves them 0.0 to 0.1 % above (0.93 to 1.00).
REASSIGNMENT_RATIO = 0.01
# Added to a mixture's variances, as a share of the mean variance: scikit-learn's number presumes that to be about 1.
LEAST_VARIANCE = 1e-6
# Our names of covariances, and scikit-learn's.
COVARIANCE_TYPES = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}

# Centres (k, L); whitening (k, L) or (k, L, L) and weights (k,) or None as in ``Clustering``; all float64.
Found = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def k_means(latents: np.ndarray, settings: ClusterSettings, seed: int) -> Found:
    """Full k-means, from the best of some random starts, until no image changes its cluster.

    Args:
        latents: ``(N, L)`` float32 or float64, with at least as many distinct rows as clusters.
        settings: Clusters, starts and iterations.
        seed: Of the starts.
    """
    from sklearn.cluster import KMeans

    found = KMeans(
        settings.clusters,
        n_init=settings.starts,
        max_iter=settings.iterations,
        tol=0,  # other tolerances end earlier, with centres that are not quite the means of their images
        random_state=seed,
    ).fit(latents)
    # The means again: several threads, and float32, round them otherwise.
    centres = [latents[found.labels_ == cluster].mean(axis=0, dtype=np.float64) for cluster in range(settings.clusters)]
    return np.stack(centres), np.ones((len(centres), latents.shape[1])), None


def mini_batches(latents: np.ndarray, settings: ClusterSettings, seed: int) -> Found:
    """K-means by random portions of the images, for more of them than full k-means gets through.

    Args:
        latents: As for ``k_means``.
        settings: Clusters, starts, iterations and the size of a portion.
        seed: Of starts and portions.
    """
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(
        settings.clusters,
        n_init=settings.starts,
        max_iter=settings.iterations,
        batch_size=settings.batch_size,
        reassignment_ratio=REASSIGNMENT_RATIO,
        compute_labels=False,
        random_state=seed,
    ).fit(latents)
    centres = found.cluster_centers_.astype(np.float64)
    return centres, np.ones(centres.shape), None


def gaussian_mixture(latents: np.ndarray, settings: ClusterSettings, seed: int) -> Found:
    """A mixture of Gaussians, by expectation maximisation from the best of some starts that k-means gives.

    Args:
        latents: As for ``k_means``.
        settings: Clusters, starts, iterations and the covariances.
        seed: Of the starts.
    """
    from sklearn.mixture import GaussianMixture

    latents = latents.astype(np.float64)
    found = GaussianMixture(
        settings.clusters,
        covariance_type=COVARIANCE_TYPES[settings.covariance],
        n_init=settings.starts,
        max_iter=settings.iterations,
        reg_covar=LEAST_VARIANCE * latents.var(axis=0).mean(),
        random_state=seed,
    ).fit(latents)
    whitening = found.precisions_cholesky_  # (k, L, L) full, (L, L) tied, (k, L) diagonal, (k,) spherical
    if settings.covariance == "spherical":
        whitening = whitening[:, None]
    matrices = (latents.shape[1],) if settings.covariance in ("full", "tied") else ()
    return found.means_, np.array(np.broadcast_to(whitening, found.means_.shape + matrices)), found.weights_


FINDERS: dict[str, Callable[[np.ndarray, ClusterSettings, int], Found]] = {
    "k-means": k_means,
    "mini-batch-k-means": mini_batches,
    "gaussian-mixture": gaussian_mixture,
}
