"""What is evaluated: images gathered into subjects, and class-balanced subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import ABNORMAL, NORMAL, Labels, checked_labels, checked_scores
from sanoscope.errors import DataError, OptionError, nearest

AGGREGATIONS = ("max", "mean")


def checked_subjects(subjects: Sequence[str | None], count: int) -> np.ndarray:
    """The subjects as ``(N,)`` objects, None where unknown.

    Raises:
        DataError: Not ``count`` of them.
    """
    if len(subjects) != count:
        raise DataError(f"{len(subjects)} subjects for {count} scores; give one for each score, None where unknown")
    return np.array(subjects, dtype=object)


def aggregate_subjects(
    labels: Labels, scores: ArrayLike, subjects: Sequence[str | None], how: str = "max"
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """One label and one score for each subject; images of unknown subject are left out.

    A subject is abnormal if any of its images is, normal if any is known to be normal and none abnormal, and
    unknown (-1) otherwise.

    Args:
        labels: ``(N,)``: 0, 1, or None or -1 where unknown.
        scores: ``(N,)``, finite.
        subjects: ``(N,)``, None where unknown.
        how: ``"max"``: one abnormal image suffices; ``"mean"``: diffuse disease counts.

    Returns:
        The labels ``(S,)``, scores ``(S,)`` and names of the subjects, sorted by name.

    Raises:
        DataError: No subject is known, or the lengths differ.
        OptionError: An unknown ``how``.
    """
    if how not in AGGREGATIONS:
        raise OptionError(f"unknown aggregation '{how}'; {nearest(how, list(AGGREGATIONS))}")
    scores = checked_scores(scores)
    named = checked_subjects(subjects, scores.size)
    with_subject = np.array([name is not None for name in named])
    if not with_subject.any():
        raise DataError(f"the subject of none of {scores.size} images is known; give subjects, or evaluate by image")
    images, known = scores[with_subject], checked_labels(labels, scores.size)[with_subject]
    names, position = np.unique(named[with_subject].astype(str), return_inverse=True)

    label = np.full(names.size, known.min())
    np.maximum.at(label, position, known)  # unknown < normal < abnormal
    if how == "mean":
        score = np.bincount(position, weights=images) / np.bincount(position)
    else:
        score = np.full(names.size, -np.inf)
        np.maximum.at(score, position, images)
    return label, score, names.tolist()


def balance(labels: Labels, seed: int) -> np.ndarray:
    """Sorted indices of a subset with as many normal as abnormal images.

    The surplus of the larger class is dropped at random, images of unknown label altogether. This is the test
    set of Sikdar, Tran, Xu, Yee: "Anomaly detection in breast histopathology images with convolutional VAEs",
    on which predicting "abnormal" for everything has accuracy 0.5 and F1 0.667.

    Args:
        labels: ``(N,)``: 0, 1, or None or -1 where unknown.
        seed: Of the choice.

    Raises:
        DataError: One of the classes is missing.
    """
    known = checked_labels(labels, len(labels))
    classes = [np.flatnonzero(known == label) for label in (NORMAL, ABNORMAL)]
    size = min(len(members) for members in classes)
    if size == 0:
        raise DataError(f"{len(classes[0])} normal and {len(classes[1])} abnormal images; a balanced set needs both")
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.choice(members, size, replace=False) for members in classes]))
