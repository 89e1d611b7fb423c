"""What the page of a search for settings is made of, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrialRow:
    """One configuration that was tried.

    Attributes:
        rank: From 1, among the complete trials; None for others.
        number: From 0, in the order of their beginning.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        value: Of the criterion, mean over folds; None where the trial is not complete.
        fold_values: Of the criterion, in each fold that was carried out.
        deviation: Standard deviation of the values over folds; None below two folds.
        loss: Mean over folds of the least validation loss; None without a fold.
        iterations: Mean over folds of the iterations that gave it; None without a fold.
        seconds: Of all its folds.
        oracle: Mean test AUROC over folds, which used labels of the test; None where it was not asked for.
        options: Those that differ among the trials, by dotted name.
        reason: Why it failed or was pruned.
    """

    rank: int | None
    number: int
    state: str
    value: float | None
    fold_values: tuple[float, ...]
    deviation: float | None
    loss: float | None
    iterations: float | None
    seconds: float
    oracle: float | None
    options: Mapping[str, Any]
    reason: str = ""

    @property
    def shown(self) -> float | None:
        """What is drawn: the value, or the mean of the folds so far; None where there is nothing finite."""
        values = self.fold_values if self.value is None else (self.value,)
        mean = float(np.mean(values)) if values else np.nan
        return mean if np.isfinite(mean) else None


@dataclass(frozen=True)
class ChoiceCurve:
    """What was chosen by few known anomalies, over their number.

    Attributes:
        kinds: Of how many kinds they were.
        anomalies: How many, ``(P,)``, ascending.
        agreement: Share of the draws that choose what all known anomalies choose, ``(P,)``.
        mean: Of the choice's worth over the draws, ``(P,)``.
        low: Its 10th percentile, ``(P,)``.
        high: Its 90th percentile, ``(P,)``.
    """

    kinds: int
    anomalies: Sequence[int]
    agreement: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Choices:
    """How a choice depends on the number and variety of known anomalies.

    Attributes:
        oracle: Whether the worth of a choice is its test AUROC; otherwise it is the AUROC on all known anomalies.
        curves: One for each number of kinds, ascending.
        best: The largest worth of all trials.
        unsupervised: The worth of the trial with the least mean validation loss; None where trainings have none.
        mean: The mean worth of the trials: a choice by chance.
        repeats: Draws behind each point.
    """

    oracle: bool
    curves: Sequence[ChoiceCurve]
    best: float
    unsupervised: float | None
    mean: float
    repeats: int


@dataclass(frozen=True)
class SearchContent:
    """Everything that the page of a search shows.

    Attributes:
        title: Of the page, such as ``"conv-vae on idc"``.
        criterion: What trials are compared by, as the label of an axis.
        explanation: The same as sentences.
        higher_is_better: Whether the largest value of the criterion is the best.
        rows: The trials: the complete ones, the best first, then the others.
        best_options: All that the best trial sets, by dotted name; empty without a complete trial.
        command: What fits a model with the options of the best trial; empty without one.
        choices: The sensitivity to the known anomalies, where there are any.
        facts: Numbers of images and the like, by name.
        notes: What a reader of the results should know.
    """

    title: str
    criterion: str
    explanation: str
    higher_is_better: bool
    rows: Sequence[TrialRow]
    best_options: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    choices: Choices | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def ranked(self) -> list[TrialRow]:
        """The complete trials."""
        return [row for row in self.rows if row.rank is not None]

    @property
    def unranked(self) -> list[TrialRow]:
        """The others."""
        return [row for row in self.rows if row.rank is None]
