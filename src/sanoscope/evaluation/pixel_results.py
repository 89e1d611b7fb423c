"""What an evaluation of pixels gives: estimates with intervals, of the scores and at each threshold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sanoscope.evaluation.bootstrap import percentile_interval
from sanoscope.evaluation.results import Estimate

PIXEL_METRIC_LABELS = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "auprc_trapezoidal": "AUPRC, trapezoidal (the paper's, optimistic)",
    "prevalence": "Prevalence",
    "oracle_dice": "Best dataset Dice (oracle)",
    "oracle_iou": "Best dataset IoU (oracle)",
}

PIXEL_DECISION_LABELS = {
    "dice": "Dataset Dice",
    "iou": "Dataset IoU",
    "dice_per_subject": "Dice per subject",
    "dice_per_subject_sd": "SD of Dice over subjects",
    "false_positive_area": "False-positive area on normal images",
    "lesion_sensitivity": "Sensitivity per lesion",
}

OPERATING_POINT = "operating point (oracle)"  # the threshold with the best dataset Dice on the evaluated data

# What a metric cannot do without; where it is missing this is the reason given.
PIXEL_NEEDS = {
    "auroc": "needs both classes",
    "average_precision": "needs both classes",
    "auprc_trapezoidal": "needs both classes",
    "oracle_dice": "needs abnormal pixels",
    "oracle_iou": "needs abnormal pixels",
    "dice": "needs abnormal pixels",
    "iou": "needs abnormal pixels",
    "false_positive_area": "needs images without abnormal pixels",
    "lesion_sensitivity": "needs lesions",
}


@dataclass(frozen=True)
class PixelDecision:
    """The pixels with a score above one threshold, called abnormal.

    Attributes:
        threshold: In the scores' unit; None where labels were to choose it and there are no abnormal pixels.
        oracle: Whether labels of the evaluated data chose it.
        estimates: Metric name, a key of ``PIXEL_DECISION_LABELS``, to its estimate. The Dice of a subject counts all
            its images together, and is 1 where nothing is abnormal and nothing is called so; its standard deviation
            is that of the population. The false-positive area is the mean share of pixels called abnormal in images,
            or slices of volumes, without an abnormal pixel.
    """

    threshold: float | None
    oracle: bool
    estimates: dict[str, Estimate]

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PixelDecision:
        """The decision that ``PixelEvaluation.to_json`` described."""
        return cls(**(stored | {"estimates": _estimates(stored["estimates"])}))


@dataclass(frozen=True)
class PixelEvaluation:
    """All metrics of the pixels of some images.

    Attributes:
        estimates: Metric name, a key of ``PIXEL_METRIC_LABELS``, to its estimate. Those that begin with ``oracle``
            used labels of the evaluated data to choose their threshold, anew in each resample.
        decisions: Name of a threshold to what it decides; ``OPERATING_POINT`` is always among them.
        foreground_only: Whether pixels outside the foreground were left out.
        n_images: Images, slices or volumes.
        n_normal_images: Images, and slices of volumes, without an abnormal pixel.
        n_pixels: Pixels that were evaluated.
        n_abnormal_pixels: The abnormal ones.
        n_lesions: Connected components of the truth.
        n_subjects: Different known subjects; 0 where none is known.
        resamples: How many times the bootstrap drew subjects; an image of unknown subject is one of its own.
        confidence: The coverage that the intervals aim at, such as 0.95.
        seed: The seed of the draws.
        notes: What a reader of the numbers should know.
    """

    estimates: dict[str, Estimate]
    decisions: dict[str, PixelDecision]
    foreground_only: bool
    n_images: int
    n_normal_images: int
    n_pixels: int
    n_abnormal_pixels: int
    n_lesions: int
    n_subjects: int
    resamples: int
    confidence: float
    seed: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The evaluation as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PixelEvaluation:
        """The evaluation that ``to_json`` described."""
        decisions = {name: PixelDecision.from_json(decision) for name, decision in stored["decisions"].items()}
        return cls(**(stored | {"estimates": _estimates(stored["estimates"]), "decisions": decisions}))


def pixel_estimate(name: str, value: float, draws: np.ndarray, level: float) -> Estimate:
    """A metric with its interval.

    Args:
        name: A key of ``PIXEL_METRIC_LABELS`` or ``PIXEL_DECISION_LABELS``.
        value: On all the data, NaN where it is not defined.
        draws: ``(R,)``, on each resample.
        level: The coverage that the interval aims at.
    """
    if np.isnan(value):
        return Estimate(None, reason=PIXEL_NEEDS[name])
    return Estimate(value, *percentile_interval(draws, level))


def _estimates(stored: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**estimate) for name, estimate in stored.items()}
