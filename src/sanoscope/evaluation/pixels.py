"""The evaluation of maps against true masks, pixel by pixel.

The images are gone through twice. The first pass counts scores with bounded memory, see ``pixel_counts``: the area
under the curves and the best threshold follow from the counts. The second pass counts, for each subject, what the
thresholds decide, now that the best one is known, and coarser histograms for the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sanoscope.errors import DataError, OptionError
from sanoscope.evaluation.evaluate import FEW, MANY_UNDEFINED
from sanoscope.evaluation.pixel_counts import EXACT_PIXELS, PixelCounter, ScoreCounts
from sanoscope.evaluation.pixel_curves import curve_metrics, operating_point
from sanoscope.evaluation.pixel_decisions import SubjectDecisions
from sanoscope.evaluation.pixel_histograms import SubjectHistograms
from sanoscope.evaluation.pixel_results import (
    OPERATING_POINT,
    PIXEL_DECISION_LABELS,
    PIXEL_METRIC_LABELS,
    PIXEL_NEEDS,
    PixelDecision,
    PixelEvaluation,
    pixel_estimate,
)
from sanoscope.evaluation.pixel_samples import PixelSample
from sanoscope.evaluation.results import Estimate

_NONE = np.empty(0)


def evaluate_pixels(
    samples: Callable[[], Iterable[PixelSample]],
    thresholds: Mapping[str, float],
    *,
    foreground_only: bool = False,
    resamples: int = 1000,  # leaves 25 beyond each end of a 95 % interval
    level: float = 0.95,
    seed: int = 0,
) -> PixelEvaluation:
    """Metrics of the pixels of all images pooled, and at thresholds, with bootstrap percentile intervals.

    The intervals come from drawing subjects with all their images. Metrics of the curves are those of scikit-learn,
    exactly up to ``EXACT_PIXELS`` pixels and to 1e-4 beyond.

    Args:
        samples: Gives the images, the same ones in the same order each time it is called.
        thresholds: Name to threshold, fitted without the labels of these images; a pixel is called abnormal if its
            score is above. The one with the best Dice on these images is added as ``OPERATING_POINT``.
        foreground_only: Leave out the pixels outside the images' foreground.
        resamples: Draws for the intervals; 0 for none.
        level: The coverage that the intervals aim at, in (0, 1).
        seed: Of the draws.

    Raises:
        DataError: There is no pixel, an image cannot be evaluated, or the second call gave other images.
        OptionError: ``level`` or ``resamples`` out of range, or a threshold that is not finite or has the name of
            the oracle's.
    """
    return evaluate_pixels_with_draws(
        samples, thresholds, foreground_only=foreground_only, resamples=resamples, level=level, seed=seed
    )[0]


def evaluate_pixels_with_draws(
    samples: Callable[[], Iterable[PixelSample]],
    thresholds: Mapping[str, float],
    *,
    foreground_only: bool = False,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[PixelEvaluation, dict[str, np.ndarray]]:
    """What ``evaluate_pixels`` gives, and every metric on each resample, to compare methods resample by resample.

    What is drawn follows from the seed and the order in which subjects come: methods that judge the same images in
    the same order are judged on the same resamples.

    Args:
        samples: As for ``evaluate_pixels``, as are all others.
        thresholds: Name to threshold.
        foreground_only: Leave out the pixels outside the images' foreground.
        resamples: Draws.
        level: Of the intervals.
        seed: Of the draws.

    Returns:
        The evaluation, and ``(R,)`` draws of each key of ``PIXEL_METRIC_LABELS``, and of those of
        ``PIXEL_DECISION_LABELS`` at each threshold as ``"dice@p95"``; the standard deviation of Dice has none.
        NaN where a resample lacks a class; R is 0 for one subject.

    Raises:
        DataError: As ``evaluate_pixels``.
        OptionError: As ``evaluate_pixels``.
    """
    _check_options(thresholds, resamples, level)
    pooled = _pool(samples, foreground_only)
    named = dict(thresholds)
    if pooled.operating_point is not None:
        named[OPERATING_POINT] = pooled.operating_point
    if pooled.n_subjects == 1:
        resamples = 0
    decisions = SubjectDecisions(pooled.n_subjects, list(named.values()))
    histograms = SubjectHistograms(pooled.n_subjects, pooled.counts) if resamples else None
    for subject, sample in zip(pooled.subject, samples(), strict=False):
        pixels = sample.pixels(foreground_only)
        decisions.add(subject, sample, histograms.counted(subject, pixels) if histograms else pixels, foreground_only)
    if decisions.n_pixels != pooled.n_pixels:
        raise DataError(
            f"the samples had {pooled.n_pixels} pixels when they were gone through first and {decisions.n_pixels} "
            "the second time; give a function that begins anew at each call"
        )

    draws = histograms.draws(pooled.metrics, resamples, seed) if histograms else dict.fromkeys(pooled.metrics, _NONE)
    draws["oracle_iou"] = draws["oracle_dice"] / (2 - draws["oracle_dice"])
    draws_at_thresholds = decisions.draws(resamples, seed)
    decided = {
        name: PixelDecision(float(threshold), name == OPERATING_POINT, estimates)
        for (name, threshold), estimates in zip(
            named.items(), decisions.estimates(draws_at_thresholds, level), strict=True
        )
    }
    if OPERATING_POINT not in decided:
        nothing = {name: Estimate(None, reason=PIXEL_NEEDS["oracle_dice"]) for name in PIXEL_DECISION_LABELS}
        decided[OPERATING_POINT] = PixelDecision(None, True, nothing)
    evaluation = PixelEvaluation(
        estimates=_estimates(pooled.metrics, decided[OPERATING_POINT], draws, level),
        decisions=decided,
        foreground_only=foreground_only,
        n_images=len(pooled.subject),
        n_normal_images=decisions.n_normal_images,
        n_pixels=pooled.n_pixels,
        n_abnormal_pixels=int(pooled.counts.abnormal.sum()),
        n_lesions=decisions.n_lesions,
        n_subjects=pooled.n_known,
        resamples=resamples,
        confidence=level,
        seed=seed,
        notes=[*_data_notes(pooled), *_undefined_notes(draws)],
    )
    at_thresholds = {
        f"{metric}@{name}": of_metric[:, t]
        for metric, of_metric in draws_at_thresholds.items()
        for t, name in enumerate(named)
    }
    return evaluation, draws | at_thresholds


@dataclass(frozen=True)
class _Pooled:
    """What the first pass finds."""

    counts: ScoreCounts
    metrics: dict[str, float]
    operating_point: float | None
    n_pixels: int
    subject: list[int]  # of each image, a number from 0; an own one where it is unknown
    n_subjects: int
    n_known: int


def _pool(samples: Callable[[], Iterable[PixelSample]], foreground_only: bool) -> _Pooled:
    """The scores of all images, counted."""
    counter = PixelCounter()
    numbers: dict[object, int] = {}
    subject = []
    for index, sample in enumerate(samples()):
        sample.check(f"image {index}" + (f" of subject {sample.subject}" if sample.subject else ""))
        subject.append(numbers.setdefault(index if sample.subject is None else sample.subject, len(numbers)))
        for normal, abnormal in sample.pixels(foreground_only):
            counter.add(normal, abnormal)
    if not counter.size:
        where = "in the foreground of " if foreground_only else "in "
        raise DataError(f"there is no pixel {where}{len(subject)} images; an evaluation needs some")
    counts = counter.counts()
    return _Pooled(
        counts=counts,
        metrics={name: float(v) for name, v in curve_metrics(counts.normal[::-1], counts.abnormal[::-1]).items()},
        operating_point=operating_point(counts) if counts.abnormal.any() else None,
        n_pixels=counter.size,
        subject=subject,
        n_subjects=len(numbers),
        n_known=sum(isinstance(name, str) for name in numbers),
    )


def _check_options(thresholds: Mapping[str, float], resamples: int, level: float) -> None:
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; give the coverage of the intervals between 0 and 1, such as 0.95")
    if resamples < 0:
        raise OptionError(f"resamples is {resamples}; give 0 for no intervals, or a number such as 1000")
    for name, threshold in thresholds.items():
        if name == OPERATING_POINT:
            raise OptionError(f"a threshold is called '{name}', as the one that the labels choose; rename it")
        if not np.isfinite(threshold):
            raise OptionError(f"the threshold '{name}' is {threshold}; give a finite number")


def _estimates(
    metrics: dict[str, float], best: PixelDecision, draws: dict[str, np.ndarray], level: float
) -> dict[str, Estimate]:
    """The metrics without a given threshold; the best Dice and IoU are counted at the operating point itself."""
    values = dict(metrics)
    for name, of in (("oracle_dice", "dice"), ("oracle_iou", "iou")):
        counted = best.estimates[of].value
        values[name] = np.nan if counted is None else counted
    return {name: pixel_estimate(name, values[name], draws[name], level) for name in PIXEL_METRIC_LABELS}


def _data_notes(pooled: _Pooled) -> list[str]:
    """What the images and subjects mean for the numbers."""
    notes = []
    if not pooled.counts.abnormal.any():
        notes.append("no pixel is abnormal: only what is called abnormal on normal images can be judged")
    if pooled.n_pixels > EXACT_PIXELS:
        notes.append(f"more than {EXACT_PIXELS:,} pixels: metrics of the curves are within 0.0001 of the exact ones")
    unknown = pooled.n_subjects - pooled.n_known
    if not pooled.n_known:
        notes.append(
            "intervals over images: no subjects are known, so they are too narrow where images share a patient"
        )
    elif unknown:
        notes.append(f"each of {unknown} images of unknown subject counts as a subject of its own")
    unit = "subject" if pooled.n_known else "image"
    if pooled.n_subjects == 1:
        notes.append(f"no intervals: they come from differences between {unit}s, and there is one {unit}")
    elif pooled.n_subjects < FEW:
        notes.append(f"intervals from {pooled.n_subjects} {unit}s are rough")
    return notes


def _undefined_notes(draws: dict[str, np.ndarray]) -> list[str]:
    """Whether intervals leave out many resamples, as a class was missing in them."""
    missing = np.isnan(draws["auroc"]).mean() if not np.isnan(draws["auroc"]).all() else 0.0
    if missing <= MANY_UNDEFINED:
        return []
    return [f"a class was missing in {missing:.0%} of the resamples; intervals that need it are over the rest"]
