"""How well clusters match classes, and how well they are apart."""

from __future__ import annotations

import numpy as np

from sanoscope.decision.checks import UNKNOWN
from sanoscope.errors import DataError

METRIC_LABELS = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "adjusted_rand": "Adjusted Rand index",
    "mutual_information": "Normalised mutual information",
    "silhouette": "Silhouette",
}
METRICS = tuple(METRIC_LABELS)


def classification(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float | None]:
    """``accuracy`` and ``f1`` of predicted classes, on the images whose class is known.

    F1 is that of class 1 where there are two classes, else the mean of each class's own. None where undefined:
    accuracy without known images; F1 where there is no image of a class that is to be found.

    Args:
        labels: ``(N,)`` whole numbers 0 … ``classes`` - 1, -1 where unknown.
        predicted: ``(N,)`` whole numbers 0 … ``classes`` - 1.
        classes: How many there are.

    Raises:
        DataError: The lengths differ.
    """
    from sklearn.metrics import accuracy_score, f1_score

    labels, predicted = _known(labels, predicted)
    sought = [1] if classes == 2 else list(range(classes))
    defined = bool(np.isin(sought, labels).all())
    return {
        "accuracy": float(accuracy_score(labels, predicted)) if labels.size else None,
        "f1": float(f1_score(labels, predicted, labels=sought, average="macro")) if defined else None,
    }


def partition(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float | None]:
    """``adjusted_rand`` index and normalised ``mutual_information`` of clusters and known classes.

    Neither asks which cluster is which class. Both are 1 for the same parts; by chance the first is 0 in the mean,
    the second a little above. None where fewer than two classes are present.

    Args:
        labels: ``(N,)`` whole numbers, -1 where unknown.
        clusters: ``(N,)`` whole numbers.

    Raises:
        DataError: The lengths differ.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    labels, clusters = _known(labels, clusters)
    defined = np.unique(labels).size > 1
    return {
        "adjusted_rand": float(adjusted_rand_score(labels, clusters)) if defined else None,
        "mutual_information": float(normalized_mutual_info_score(labels, clusters)) if defined else None,
    }


def silhouette(latents: np.ndarray, clusters: np.ndarray, seed: int, most: int = 3000) -> float | None:
    """The mean silhouette, in [-1, 1]: how much nearer images are to their own cluster than to the next.

    Rousseeuw: Silhouettes, a graphical aid to the interpretation and validation of cluster analysis (1987).
    None where it is undefined: one cluster only, or none that holds two images.

    Args:
        latents: ``(N, L)``.
        clusters: ``(N,)`` whole numbers.
        seed: Of the choice of images, if there are too many.
        most: Images that are looked at, as time grows with the square of their number. 3,000 of 5,993 histology
            patches gave the mean of all within 0.01.

    Raises:
        DataError: The lengths differ.
    """
    from sklearn.metrics import silhouette_score

    if len(latents) != len(clusters):
        raise DataError(f"{len(latents)} latents and {len(clusters)} clusters; give one of each for each image")
    if len(latents) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(latents), most, replace=False))
        latents, clusters = latents[chosen], clusters[chosen]
    if not 1 < np.unique(clusters).size < len(clusters):
        return None
    return float(silhouette_score(latents, clusters))


def _known(labels: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, of the images whose label is known."""
    labels, others = np.asarray(labels), np.asarray(others)
    if labels.shape != others.shape:
        raise DataError(f"{labels.size} labels for {others.size} images; give one for each image")
    known = labels != UNKNOWN
    return labels[known], others[known]
