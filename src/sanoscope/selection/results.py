"""What a search has found: plain values that are kept in its storage, and that tables and plots are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CRITERIA = ("known-anomalies", "validation-loss")


@dataclass(frozen=True)
class FoldResult:
    """What a configuration gave in one fold.

    Attributes:
        loss: The least loss of the fold's validation normals; None of a training that has none.
        iterations: How many had been carried out when it was reached.
        normal: Scores of the fold's held-out normals.
        known: Scores of the known anomalies, in the search's order.
        test_auroc: Of the final test's normals against its anomalies; never looked at to choose, only afterwards to
            see what a choice is worth. None where it was not asked for.
        seconds: Of training and scoring.
    """

    loss: float | None
    iterations: int
    normal: tuple[float, ...]
    known: tuple[float, ...]
    test_auroc: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Fit for a storage."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> FoldResult:
        """Back from a storage."""
        return cls(**{**stored, "normal": tuple(stored["normal"]), "known": tuple(stored["known"])})


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Attributes:
        number: From 0, in the order of their beginning.
        state: ``complete``, ``pruned``, ``failed``, or ``running`` elsewhere.
        options: What it sets, by dotted name.
        value: Of the criterion, mean over folds; None where it is not complete.
        folds: Results of the folds that were carried out.
        reason: Why it failed, or was pruned.
    """

    number: int
    state: str
    options: Mapping[str, Any]
    value: float | None
    folds: tuple[FoldResult, ...]
    reason: str = ""


@dataclass(frozen=True)
class SearchResult:
    """A search as far as it has come.

    Attributes:
        recipe: Its name.
        criterion: One of ``CRITERIA``; AUROC is to be high, a loss low.
        trials: All of them.
        kinds: The kind of each known anomaly, in the order of ``FoldResult.known``.
        folds: How many folds a complete trial has.
        data: Where the images are from.
        notes: What a reader should know.
        description: Numbers of images on each side and the like, by name.
        fitted: Options of the final training that differ from the recipe's defaults, by dotted name; empty before it.
    """

    recipe: str
    criterion: str
    trials: tuple[Trial, ...]
    kinds: tuple[str, ...]
    folds: int
    data: str
    notes: tuple[str, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The complete trials, the best first; of equals, the earlier."""
        sign = -1 if self.criterion == "known-anomalies" else 1
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        return tuple(sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number)))
