"""The evaluation of scores and decisions against labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import ABNORMAL, UNKNOWN, Labels, checked_labels, checked_scores
from sanoscope.errors import DataError, OptionError
from sanoscope.evaluation.bootstrap import percentile_interval
from sanoscope.evaluation.metrics import COUNTS, METRIC_LABELS, NEEDS, WeightedMetrics
from sanoscope.evaluation.results import Estimate, Evaluation
from sanoscope.evaluation.sets import aggregate_subjects, checked_subjects
from sanoscope.evaluation.units import Units

FEW = 10  # with fewer to draw from, percentile intervals are clearly too narrow
MANY_UNDEFINED = 0.1  # of the resamples; with more left out, an interval no longer describes the estimate


def evaluate(
    labels: Labels,
    scores: ArrayLike,
    predictions: ArrayLike | None = None,
    subjects: Sequence[str | None] | None = None,
    *,
    resamples: int = 1000,  # leaves 25 beyond each end of a 95 % interval
    level: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Metrics with bootstrap percentile intervals, each image judged by itself.

    The intervals come from drawing subjects with all their images; where no subject is known, from drawing
    images. They describe the choice of the test data, not the randomness of training. Where every resample
    has the same value, as a sensitivity of 1 has, the interval has no width and says too little.

    Args:
        labels: ``(N,)``: 0 normal, 1 abnormal, None or -1 unknown. Images of unknown label are left out.
        scores: ``(N,)``, finite, higher is more abnormal.
        predictions: ``(N,)`` bool or 0/1, the decisions; without them the metrics of decisions are absent.
        subjects: ``(N,)``, None where unknown; such an image counts as a subject of its own.
        resamples: Draws for the intervals; 0 for none.
        level: The coverage that the intervals aim at, in (0, 1).
        seed: Of the draws.

    Raises:
        DataError: No image has a label, a score is not finite, or the lengths differ.
        OptionError: ``level`` or ``resamples`` out of range.
    """
    return evaluate_with_draws(labels, scores, predictions, subjects, resamples=resamples, level=level, seed=seed)[0]


def evaluate_with_draws(
    labels: Labels,
    scores: ArrayLike,
    predictions: ArrayLike | None = None,
    subjects: Sequence[str | None] | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Evaluation, dict[str, np.ndarray]]:
    """What ``evaluate`` gives, and every metric on each resample, to compare methods resample by resample.

    What is drawn follows from the subjects and the seed alone: methods that judge the same images are judged on the
    same resamples.

    Args:
        labels: As for ``evaluate``, as are all others.
        scores: ``(N,)``.
        predictions: ``(N,)`` or None.
        subjects: ``(N,)`` or None.
        resamples: Draws.
        level: Of the intervals.
        seed: Of the draws.

    Returns:
        The evaluation, and ``(R,)`` draws of each metric; NaN where a resample lacks a class. R is 0 for one image.

    Raises:
        DataError: As ``evaluate``.
        OptionError: As ``evaluate``.
    """
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; give the coverage of the intervals between 0 and 1, such as 0.95")
    if resamples < 0:
        raise OptionError(f"resamples is {resamples}; give 0 for no intervals, or a number such as 1000")
    scores = checked_scores(scores)
    known = checked_labels(labels, scores.size)
    decisions = None if predictions is None else _checked_predictions(predictions, scores.size)
    names = checked_subjects([None] * scores.size if subjects is None else subjects, scores.size)

    labelled = known != UNKNOWN
    if not labelled.any():
        raise DataError(f"none of {scores.size} images has a label; an evaluation needs labels, 0 normal, 1 abnormal")
    abnormal = known[labelled] == ABNORMAL
    metrics = WeightedMetrics(abnormal, scores[labelled], None if decisions is None else decisions[labelled])
    units = Units.of(names[labelled])

    point = metrics(np.ones((1, abnormal.size)))
    portions = [metrics(weights) for weights in units.weights(resamples, seed)]
    draws = {name: np.concatenate([np.empty(0), *(portion[name] for portion in portions)]) for name in point}
    evaluation = Evaluation(
        level="image",
        estimates={
            name: _estimate(name, float(point[name][0]), draws[name], level) for name in METRIC_LABELS if name in point
        },
        n_images=abnormal.size,
        n_normal=int((~abnormal).sum()),
        n_abnormal=int(abnormal.sum()),
        n_subjects=units.n_subjects,
        resampled="subjects" if units.n_subjects and not units.one_subject else "images",
        resamples=draws["prevalence"].size,
        confidence=level,
        seed=seed,
        notes=[
            *_data_notes(labelled, units),
            *_undefined_notes({name: draws[name] for name in point if not np.isnan(point[name][0])}),
        ],
    )
    return evaluation, draws


def mean_with_draws(
    values: ArrayLike, subjects: Sequence[str | None] | None = None, resamples: int = 1000, seed: int = 0
) -> tuple[float, np.ndarray]:
    """The mean of a quantity over images, and on each resample that ``evaluate`` draws of the same images.

    Args:
        values: ``(N,)``, finite, such as the reconstruction error of each image.
        subjects: As for ``evaluate``.
        resamples: Draws.
        seed: Of the draws.

    Returns:
        The mean, and ``(R,)`` draws of it; R is 0 for one image.

    Raises:
        DataError: A value is not finite, or the lengths differ.
    """
    values = checked_scores(values)
    units = Units.of(checked_subjects([None] * values.size if subjects is None else subjects, values.size))
    draws = [weights @ values / weights.sum(axis=1) for weights in units.weights(resamples, seed)]
    return float(values.mean()), np.concatenate([np.empty(0), *draws])


def evaluate_subjects(
    labels: Labels,
    scores: ArrayLike,
    subjects: Sequence[str | None],
    how: str = "max",
    threshold: float | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Metrics with intervals, each subject judged by the scores of its images; see ``evaluate``.

    Args:
        labels: ``(N,)``, of images, as for ``aggregate_subjects``.
        scores: ``(N,)``, of images.
        subjects: ``(N,)``; images of unknown subject are left out.
        how: ``"max"`` or ``"mean"`` of the subject's scores.
        threshold: A subject is abnormal if its score is above; None leaves the metrics of decisions out. The
            largest of many scores exceeds a threshold for single images far more often than one score does,
            so fit it on validation subjects: ``fit_decision`` on what ``aggregate_subjects`` gives.
        resamples: As for ``evaluate``.
        level: As for ``evaluate``.
        seed: As for ``evaluate``.

    Raises:
        DataError: No subject is known, or as ``evaluate``.
        OptionError: An unknown ``how``, or as ``evaluate``.
    """
    of_subjects, scores_of_subjects, names = aggregate_subjects(labels, scores, subjects, how)
    evaluation = evaluate(
        of_subjects,
        scores_of_subjects,
        None if threshold is None else scores_of_subjects > threshold,
        names,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    judged = {name for name, label in zip(names, of_subjects, strict=True) if label != UNKNOWN}
    without_subject = sum(name is None for name in subjects)
    notes = [f"left out, as their subject is unknown: {without_subject} images"] if without_subject else []
    return replace(
        evaluation,
        level=f"subject-{how}",
        n_images=sum(name in judged for name in subjects),
        notes=[*notes, *evaluation.notes],
    )


def _checked_predictions(predictions: ArrayLike, count: int) -> np.ndarray:
    """The decisions as ``(N,)`` bool."""
    array = np.asarray(predictions)
    if array.shape != (count,) or not np.isin(array, (0, 1)).all():
        raise DataError(f"predictions of shape {array.shape} for {count} scores; give one 0 or 1 for each score")
    return array.astype(bool)


def _estimate(name: str, value: float, draws: np.ndarray, level: float) -> Estimate:
    """The value with its interval; counts have none."""
    if np.isnan(value):
        return Estimate(None, reason=NEEDS[name])
    return Estimate(value) if name in COUNTS else Estimate(value, *percentile_interval(draws, level))


def _data_notes(labelled: np.ndarray, units: Units) -> list[str]:
    """What the images and subjects mean for the numbers."""
    notes = []
    if not labelled.all():
        notes.append(f"left out, as they have no label: {(~labelled).sum()}")
    n_drawn = int(units.number.max()) + 1
    if not units.n_subjects:
        notes.append(
            "intervals over images: no subjects are known, so they are too narrow where images share a patient"
        )
    elif units.one_subject:
        notes.append("intervals over images: all are of one subject, so they say nothing of others")
    elif n_drawn > units.n_subjects:
        notes.append(f"each of {n_drawn - units.n_subjects} images of unknown subject counts as a subject of its own")
    unit = "subject" if units.n_subjects and not units.one_subject else "image"
    if n_drawn == 1:
        notes.append(f"no intervals: they come from differences between {unit}s, and there is one {unit}")
    elif n_drawn < FEW:
        notes.append(f"intervals from {n_drawn} {unit}s are rough")
    return notes


def _undefined_notes(draws: dict[str, np.ndarray]) -> list[str]:
    """Which intervals leave out many resamples, as a class was missing in them."""
    undefined = {METRIC_LABELS[name]: np.isnan(values).mean() for name, values in draws.items() if values.size}
    return [
        f"{label}: not defined in {fraction:.0%} of the resamples, as a class was missing; "
        "its interval is over the rest"
        for label, fraction in undefined.items()
        if fraction > MANY_UNDEFINED
    ]
