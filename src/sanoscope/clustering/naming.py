"""From clusters to classes: which class each cluster stands for, fitted on images whose class is known.

Three rules, all from one paper: its formula, its code and its text (Liu, Zhang: Deep convolutional autoencoder network
for breast histopathology image clustering).
"""

from __future__ import annotations

import numpy as np

from sanoscope.decision.checks import UNKNOWN
from sanoscope.errors import DataError, OptionError, nearest

NAMINGS = ("one-to-one", "released", "majority")


def name_clusters(
    clusters: np.ndarray, labels: np.ndarray, number: int, classes: int, how: str = NAMINGS[0]
) -> np.ndarray:
    """The class of each cluster, ``(number,)`` int64.

    ``one-to-one``: formula (14) of the paper, the map with the most images right among those that name every class,
    and so none twice where there are as many clusters as classes. Where there are more, those beyond have their
    majority's class; where there are fewer, some classes are left out.
    ``released``: of two clusters, that with the larger share of class 0 is class 0, and the other is class 1.
    ``majority``: the text of the paper, each cluster has the class of most of its images; all may have the same one.

    A cluster without images of known class has the class of most images, unless its name follows from the others'.

    Args:
        clusters: ``(N,)`` whole numbers 0 … ``number`` - 1.
        labels: ``(N,)`` whole numbers 0 … ``classes`` - 1, -1 where unknown; these images are ignored.
        number: Of clusters.
        classes: How many there are.
        how: One of ``NAMINGS``.

    Raises:
        DataError: No class is known, or a number is out of its range.
        OptionError: An unknown ``how``, or ``released`` for other than two clusters and classes.
    """
    if how not in NAMINGS:
        raise OptionError(f"naming does not take {how!r}; {nearest(str(how), list(NAMINGS))}")
    counts = _counts(np.asarray(clusters), np.asarray(labels), number, classes)
    if how == "released":
        return _released(counts)
    majority = np.where(counts.any(axis=1), counts.argmax(axis=1), counts.sum(axis=0).argmax())
    return majority if how == "majority" else _one_to_one(counts, majority)


def _counts(clusters: np.ndarray, labels: np.ndarray, number: int, classes: int) -> np.ndarray:
    """The known images of each cluster and class, ``(number, classes)``."""
    if clusters.shape != labels.shape:
        raise DataError(f"{clusters.size} clusters and {labels.size} labels; give one of each for each image")
    for name, values, least, end in (("cluster", clusters, 0, number), ("label", labels, UNKNOWN, classes)):
        strange = values[(values < least) | (values >= end)]
        if strange.size:
            raise DataError(f"{name} {strange[0]} is not among {least} … {end - 1}; number them from 0")
    known = labels != UNKNOWN
    if not known.any():
        raise DataError(f"the class of none of {labels.size} images is known; give labels, or leave clusters unnamed")
    return np.bincount(clusters[known] * classes + labels[known], minlength=number * classes).reshape(number, classes)


def _one_to_one(counts: np.ndarray, majority: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    # What a name loses against the majority's, so that of too many clusters those are matched that lose least.
    rows, named = linear_sum_assignment(counts.max(axis=1, keepdims=True) - counts)
    majority[rows] = named
    return majority


def _released(counts: np.ndarray) -> np.ndarray:
    if counts.shape != (2, 2):
        raise OptionError(
            f"naming 'released' is for two clusters and two classes, not {counts.shape[0]} and {counts.shape[1]}; "
            "take 'one-to-one'"
        )
    sizes = counts.sum(axis=1)
    # Half of a cluster without images, so that the other has its own majority's class.
    shares = np.where(sizes > 0, counts[:, 0] / np.maximum(sizes, 1), 0.5)
    return np.array([0, 1] if shares[0] >= shares[1] else [1, 0])
