"""The metrics of each measure, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping

from sanoscope.clustering.agreement import METRIC_LABELS as CLUSTER_LABELS
from sanoscope.evaluation import METRIC_LABELS, PIXEL_DECISION_LABELS, PIXEL_METRIC_LABELS
from sanoscope.evaluation.metrics import COUNTS

METRICS: Mapping[str, Mapping[str, str]] = {
    "images": {name: label for name, label in METRIC_LABELS.items() if name not in COUNTS}
    | {"reconstruction": "Reconstruction error", "kl": "KL divergence"},
    "pixels": {**PIXEL_METRIC_LABELS, **PIXEL_DECISION_LABELS},
    "clusters": CLUSTER_LABELS,
    "selection": {"auroc": METRIC_LABELS["auroc"]},
}
# Of these, more is not better, so that nothing is ranked or tested by them.
UNRANKED = frozenset({"reconstruction", "kl", "prevalence", "dice_per_subject_sd", "false_positive_area"})


def is_compared(measure: str, metric: str) -> bool:
    """Whether rows are ranked and tested by a metric; those of a selection are choices, and no methods to rank."""
    return measure != "selection" and metric not in UNRANKED
