"""The decision: a threshold with the rule that found it and what it was fitted on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import ABNORMAL, UNKNOWN, Labels, checked_labels, checked_scores
from sanoscope.decision.rules import normals_needed, quantile_threshold, youden_threshold
from sanoscope.errors import DataError, ModelError, OptionError, nearest

RULES = ("youden", "quantile")


@dataclass(frozen=True)
class Decision:
    """A fitted threshold on image scores.

    Attributes:
        rule: ``"youden"`` or ``"quantile"``.
        threshold: In the score's own unit; abnormal means ``score > threshold``.
        target_false_positive_rate: What the quantile aimed at, in (0, 1); None for Youden.
        fitted_on: The numbers of ``"normal"`` and ``"abnormal"`` images, a ``"description"`` of the data and,
            where a reader should know something, a ``"note"``. JSON-serialisable.
    """

    rule: str
    threshold: float
    target_false_positive_rate: float | None
    fitted_on: dict[str, Any]

    def decide(self, scores: ArrayLike) -> np.ndarray:
        """Which images are abnormal, ``(N,)`` bool.

        Args:
            scores: ``(N,)``, higher is more abnormal.

        Raises:
            DataError: A score is NaN or infinite.
        """
        return checked_scores(scores) > self.threshold

    def to_json(self) -> dict[str, Any]:
        """The decision as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Decision:
        """The decision that ``to_json`` described.

        Raises:
            ModelError: An entry is missing, unknown or not of its kind.
        """
        try:
            decision = cls(**stored)
            usable = decision.rule in RULES and math.isfinite(decision.threshold)
        except TypeError as error:
            raise ModelError(f"the stored decision cannot be read ({error}); fit it again") from error
        if not usable:
            raise ModelError(
                f"the stored decision has rule {decision.rule!r} and threshold {decision.threshold!r}; fit it again"
            )
        return decision


def fit_decision(
    scores: ArrayLike,
    labels: Labels,
    rule: str = "auto",
    target_false_positive_rate: float = 0.05,  # the usual level of a test; 19 normals suffice for it
    description: str = "validation split",
) -> Decision:
    """Finds the threshold on data held out from training; not on the data that results are reported on.

    Args:
        scores: ``(N,)``, finite, higher is more abnormal.
        labels: ``(N,)``: 0 normal, 1 abnormal, None or -1 unknown. Unknown counts as normal, as it comes from
            a collection that was given as normal.
        rule: ``"youden"``, the cut with the largest true-positive rate minus false-positive rate, which needs
            both classes; ``"quantile"``, which needs normals only and keeps their false-positive rate at or
            under the target; or ``"auto"``: Youden where both classes are present, otherwise the quantile.
        target_false_positive_rate: For the quantile, in (0, 1).
        description: What the data is, kept with the decision.

    Raises:
        DataError: No normal image, Youden without abnormal images, or a score that is not finite.
        OptionError: An unknown rule, or a target outside (0, 1).
    """
    if rule not in ("auto", *RULES):
        raise OptionError(f"unknown decision rule '{rule}'; {nearest(rule, ['auto', *RULES])}")
    if not 0 < target_false_positive_rate < 1:
        raise OptionError(f"target_false_positive_rate is {target_false_positive_rate}; give one between 0 and 1")
    scores = checked_scores(scores)
    known = checked_labels(labels, scores.size)
    abnormal = known == ABNORMAL
    if abnormal.all():
        raise DataError(f"{description}: all {scores.size} images are abnormal; a threshold needs normal images")
    if rule == "youden" and not abnormal.any():
        raise DataError(
            f"{description}: none of {scores.size} images is abnormal, and rule 'youden' needs both classes; "
            "add abnormal images or use rule 'quantile'"
        )

    notes = []
    if rule == "youden" or (rule == "auto" and abnormal.any()):
        rule, target = "youden", None
        threshold = youden_threshold(scores, abnormal)
        if threshold >= scores.max():
            notes.append("no threshold is better than calling nothing abnormal")
    else:
        rule, target = "quantile", target_false_positive_rate
        normals = scores[~abnormal]
        threshold = quantile_threshold(normals, target)
        if normals.size < normals_needed(target):
            notes.append(
                f"a false-positive rate of {target:g} needs {normals_needed(target)} normals; "
                f"with {normals.size} the threshold is their largest score"
            )
    if unlabelled := int((known == UNKNOWN).sum()):
        notes.append(f"{unlabelled} images without a label are counted as normal")

    fitted_on = {
        "normal": int((~abnormal).sum()),
        "abnormal": int(abnormal.sum()),
        "description": description,
    }
    return Decision(rule, threshold, target, fitted_on | ({"note": "; ".join(notes)} if notes else {}))
