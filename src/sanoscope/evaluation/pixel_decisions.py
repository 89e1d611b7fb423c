"""What some thresholds decide in each subject: a resample of the subjects only needs to weigh and add the counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sanoscope.evaluation.bootstrap import resample_weights
from sanoscope.evaluation.metrics import ratio
from sanoscope.evaluation.pixel_results import pixel_estimate
from sanoscope.evaluation.pixel_samples import PixelSample
from sanoscope.evaluation.results import Estimate


class SubjectDecisions:
    """What the pixels above each of some thresholds are, in each subject.

    Args:
        n_subjects: How many there are.
        thresholds: ``(T,)``; pixels with a larger score are called abnormal.
    """

    def __init__(self, n_subjects: int, thresholds: Sequence[float]) -> None:
        self.n_pixels = 0
        self._thresholds = np.array(thresholds, dtype=np.float32)
        per_threshold, one = (n_subjects, len(thresholds)), (n_subjects, 1)
        self._called, self._true_positives, self._abnormal = (
            np.zeros(per_threshold),
            np.zeros(per_threshold),
            np.zeros(one),
        )
        self._false_area, self._normal_images = np.zeros(per_threshold), np.zeros(one)
        self._detected, self._lesions = np.zeros(per_threshold), np.zeros(one)

    @property
    def n_normal_images(self) -> int:
        """Images, and slices of volumes, without an abnormal pixel."""
        return int(self._normal_images.sum())

    @property
    def n_lesions(self) -> int:
        """Connected components of the truth, of all images."""
        return int(self._lesions.sum())

    def add(
        self, subject: int, sample: PixelSample, pixels: Iterable[tuple[np.ndarray, np.ndarray]], foreground_only: bool
    ) -> None:
        """Count an image.

        Args:
            subject: Its subject's number.
            sample: The image.
            pixels: Its pixels, as the sample gives them.
            foreground_only: What they were given with.
        """
        called, sizes = np.zeros((2, self._thresholds.size)), np.zeros(2)
        for classes in pixels:
            for number, scores in enumerate(classes):
                called[number] += [np.count_nonzero(scores > threshold) for threshold in self._thresholds]
                sizes[number] += scores.size
        self.n_pixels += int(sizes.sum())
        self._called[subject] += called.sum(axis=0)
        self._true_positives[subject] += called[1]
        self._abnormal[subject] += sizes[1]
        for scores in sample.normal_images(foreground_only):
            self._normal_images[subject] += 1
            self._false_area[subject] += [np.count_nonzero(scores > t) / scores.size for t in self._thresholds]
        peaks = sample.lesion_peaks(foreground_only)
        self._lesions[subject] += peaks.size
        self._detected[subject] += (peaks[:, None] > self._thresholds).sum(axis=0)

    def dice_of_subjects(self) -> np.ndarray:
        """``(S, T)``; 1 where nothing is abnormal and nothing is called so."""
        both = self._called + self._abnormal
        return np.where(both > 0, 2 * self._true_positives / np.maximum(both, 1), 1.0)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Every metric for every row of weights and every threshold, ``(R, T)`` each; NaN where not defined.

        Args:
            weights: ``(R, S)``, how often each subject is present.
        """
        tp, called, abnormal = (weights @ counts for counts in (self._true_positives, self._called, self._abnormal))
        some = np.broadcast_to(abnormal > 0, tp.shape)
        return {
            "dice": np.where(some, 2 * tp / np.maximum(called + abnormal, 1), np.nan),
            "iou": np.where(some, tp / np.maximum(called + abnormal - tp, 1), np.nan),
            "dice_per_subject": weights @ self.dice_of_subjects() / weights.sum(axis=1, keepdims=True),
            "false_positive_area": _shares(weights @ self._false_area, weights @ self._normal_images),
            "lesion_sensitivity": _shares(weights @ self._detected, weights @ self._lesions),
        }

    def draws(self, resamples: int, seed: int) -> dict[str, np.ndarray]:
        """The metrics of each resample at each threshold, ``(R, T)`` each.

        Args:
            resamples: How many; 0 for none.
            seed: Of the draws.
        """
        n_subjects, n_thresholds = self._called.shape
        portions = [self(weights) for weights in resample_weights(np.arange(n_subjects), resamples, seed)]
        nothing = np.empty((0, n_thresholds))
        return {name: np.concatenate([nothing, *(p[name] for p in portions)]) for name in self._values()}

    def estimates(self, draws: Mapping[str, np.ndarray], level: float) -> list[dict[str, Estimate]]:
        """The metrics at each threshold, ``(T,)``, with their intervals.

        Args:
            draws: What ``draws`` gave.
            level: The coverage that the intervals aim at.
        """
        values = self._values()
        spread = self.dice_of_subjects().std(axis=0)
        return [
            {name: pixel_estimate(name, float(value[0, t]), draws[name][:, t], level) for name, value in values.items()}
            | {"dice_per_subject_sd": Estimate(float(spread[t]))}
            for t in range(self._thresholds.size)
        ]

    def _values(self) -> dict[str, np.ndarray]:
        """The metrics of all subjects, ``(1, T)`` each."""
        return self(np.ones((1, len(self._called))))


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``(R, T)`` by ``(R, 1)``."""
    return ratio(part, np.broadcast_to(whole, part.shape))
