"""Maps of the images: latents laid out in two dimensions, by principal components and by t-SNE.

Van der Maaten, Hinton: "Visualizing data using t-SNE", Journal of Machine Learning Research 9 (2008), 2579-2605.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.clustering.components import COMPONENTS, WIDE


@dataclass(frozen=True)
class Projection:
    """Images as points in a plane.

    Attributes:
        name: ``"PCA"`` or ``"t-SNE"``.
        points: ``(M, 2)`` float64; of PCA in the units of the latents about their mean, of t-SNE without units.
        rows: Which images the points are, ``(M,)`` in ascending order.
        explained: Of PCA: the shares of the latents' variance along the two axes.
        perplexity: Of t-SNE: how many neighbours an image effectively has.
    """

    name: str
    points: np.ndarray
    rows: np.ndarray
    explained: tuple[float, float] | None
    perplexity: float | None


def project(latents: np.ndarray, seed: int, perplexity: float = 30.0, most: int = 3000) -> list[Projection]:
    """The first two principal components of all images, and t-SNE of all or some.

    The same latents and seed give the same points.

    Args:
        latents: ``(N, L)``, finite.
        seed: Of the images that t-SNE draws and of its optimisation.
        perplexity: Of t-SNE; of few images a third of their number, as it looks at three times as many neighbours.
        most: The most images in t-SNE, which takes minutes for more; of more, so many are drawn, all as likely.

    Returns:
        PCA, then t-SNE; PCA alone for fewer than 4 images or latents of one dimension, where t-SNE has nothing to
        arrange; nothing if all images are equal.
    """
    from sklearn.decomposition import PCA

    latents = np.asarray(latents, np.float64)
    count, width = latents.shape
    if _all_equal(latents):
        return []
    pca = PCA(min(COMPONENTS if width > WIDE else 2, count, width), random_state=seed)
    components = pca.fit_transform(latents)
    rows = np.arange(count)
    maps = [_principal(components, pca.explained_variance_ratio_, rows)]
    if count > most:
        rows = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    drawn = (components if width > WIDE else latents)[rows]
    if len(rows) >= 4 and width > 1 and not _all_equal(drawn):
        maps.append(_neighbourly(drawn, rows, perplexity, seed))
    return maps


def _all_equal(latents: np.ndarray) -> bool:
    return bool((latents == latents[:1]).all())


def _principal(components: np.ndarray, shares: np.ndarray, rows: np.ndarray) -> Projection:
    """The plane of the first two components; scikit-learn makes the largest loading of each positive."""
    missing = max(0, 2 - components.shape[1])  # one dimension spans no plane
    points = np.pad(components[:, :2], ((0, 0), (0, missing)))
    first, second = (float(share) for share in np.pad(shares[:2], (0, missing)))
    return Projection("PCA", points, rows, (first, second), None)


def _neighbourly(latents: np.ndarray, rows: np.ndarray, perplexity: float, seed: int) -> Projection:
    from sklearn.manifold import TSNE

    perplexity = min(perplexity, (len(rows) - 1) / 3)
    # Units make no difference to t-SNE, but it computes in single precision, where very small or large ones would.
    latents = latents - latents.mean(axis=0)
    latents /= np.abs(latents).max()
    # A start from principal components keeps large distances better than a random one, and from run to run:
    # Kobak, Berens: "The art of using t-SNE for single-cell transcriptomics", Nature Communications 10 (2019) 5416.
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(latents)
    return Projection("t-SNE", points.astype(np.float64), rows, None, float(perplexity))
