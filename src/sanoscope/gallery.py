"""Which of many scored cases are worth looking at, and the pictures of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.map_evaluation import has_masks

# Enough to see a pattern, few enough to look at.
GALLERY_SIZE = 8
LABELLED = "Labelled abnormal, one of each subject"


@dataclass(frozen=True)
class Shown:
    """The pictures of a case in the gallery, ``(H, W, 3)`` uint8 each.

    Attributes:
        image: What the network saw.
        reconstruction: Its healthy version; None of a method that makes none.
        overlay: The image under the deciding map; None of a method that does not say where.
        truth: The image with the outline of what is truly abnormal; None where that is unknown or nothing.
        others: The image under each other map of the model, by name.
    """

    image: np.ndarray
    reconstruction: np.ndarray | None = None
    overlay: np.ndarray | None = None
    truth: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


def choose(
    cases: Cases, labels: np.ndarray, score: np.ndarray, abnormal: np.ndarray, size: int = GALLERY_SIZE
) -> dict[str, list[int]]:
    """Indices of cases by the title of their group, at most ``size`` in each.

    Args:
        cases: Those that were scored.
        labels: ``(N,)``: 0 normal, 1 abnormal, −1 unknown.
        score: ``(N,)``, higher is more abnormal.
        abnormal: The decisions, ``(N,)`` bool.
        size: Of a group.
    """
    order = np.argsort(-score, kind="stable")
    groups: dict[str, Sequence[int] | np.ndarray] = {
        LABELLED: _one_of_each_subject(cases, size) if has_masks(cases) else [],
        "Most abnormal": order,
        "Least abnormal": order[::-1],
        "False alarms, the strongest first": [i for i in order if labels[i] == 0 and abnormal[i]],
        "Missed, the most normal-looking first": [i for i in order[::-1] if labels[i] == 1 and not abnormal[i]],
    }
    return {title: [int(i) for i in indices[:size]] for title, indices in groups.items()}


def _one_of_each_subject(cases: Cases, size: int) -> list[int]:
    """The middle one of the abnormal cases of each subject, of at most ``size`` of them."""
    of_subjects: dict[object, list[int]] = {}
    for index, case in enumerate(cases):
        if case.label == 1:
            of_subjects.setdefault(case.subject or index, []).append(index)
    chosen = list(of_subjects.values())
    kept = np.unique(np.linspace(0, len(chosen) - 1, min(size, len(chosen))).round().astype(int))
    return [chosen[i][len(chosen[i]) // 2] for i in kept]
