"""How much the choice of a configuration depends on the number and variety of known anomalies.

Figure 1 in the supplement of "Anomaly detection with deep perceptual autoencoders" (Tuluptceva et al.), without any
new training: of the known anomalies few are drawn again and again, the scores that the search has kept value each
trial by these alone, and the best one is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.selection.ranking import fold_value, mean_test_auroc, placements
from sanoscope.selection.results import SearchResult, Trial


@dataclass(frozen=True)
class Spread:
    """Of a quantity over draws: its mean, 10th and 90th percentile, and itself."""

    mean: float
    low: float
    high: float
    draws: tuple[float, ...] = ()


@dataclass(frozen=True)
class Point:
    """What is chosen by a number of known anomalies.

    Attributes:
        kinds: Of how many kinds they are; each kind has at least one.
        anomalies: How many are drawn.
        agreement: Share of the draws that choose the trial that all known anomalies choose.
        value: The choice's AUROC on all known anomalies.
        oracle: The choice's test AUROC, where every trial was tested.
    """

    kinds: int
    anomalies: int
    agreement: float
    value: Spread
    oracle: Spread | None


@dataclass(frozen=True)
class References:
    """What other ways of choosing give.

    Attributes:
        best: The largest of all trials.
        unsupervised: Of the trial with the least mean validation loss; None where trainings have none.
        mean: Over the trials: a choice by chance.
    """

    best: float
    unsupervised: float | None
    mean: float


@dataclass(frozen=True)
class Sensitivity:
    """What few known anomalies choose.

    Attributes:
        points: By number of kinds, then of anomalies.
        best: Number of the trial that all known anomalies choose.
        value: References of ``Point.value``.
        oracle: References of ``Point.oracle``.
        repeats: Draws behind each point.
        seed: Of the draws.
    """

    points: tuple[Point, ...]
    best: int
    value: References
    oracle: References | None
    repeats: int
    seed: int


def sensitivity(result: SearchResult, *, repeats: int = 200, seed: int = 0) -> Sensitivity | None:
    """What the search would have chosen with fewer known anomalies, of fewer kinds.

    Of the anomalies of k random kinds n are drawn without replacement, at least one of each kind. There is a point
    where any k kinds have n anomalies.

    Args:
        result: With scores of known anomalies; by which criterion it was searched does not matter.
        repeats: Draws behind each point.
        seed: Of the draws; a point does not depend on which others there are.

    Returns:
        None without two complete trials to choose from that have scores of known anomalies.
    """
    trials = sorted((trial for trial in result.ranked if _is_scored(trial, result)), key=lambda trial: trial.number)
    if len(trials) < 2:
        return None
    # (T, A): the mean over any of the columns is the AUROC on these anomalies, mean over folds.
    placed = np.stack([np.mean([placements(fold) for fold in trial.folds], axis=0) for trial in trials])
    values = placed.mean(axis=1)
    best = _choices(placed, np.ones((1, len(result.kinds)), bool))[0]
    tested = [auroc for trial in trials if (auroc := mean_test_auroc(trial)) is not None]
    oracle = np.array(tested) if len(tested) == len(trials) else None
    losses = np.array([np.mean([fold_value(fold, "validation-loss") for fold in trial.folds]) for trial in trials])
    unsupervised = None if np.isnan(losses).any() else int(losses.argmin())
    _, kinds, counts = np.unique(np.array(result.kinds), return_inverse=True, return_counts=True)
    points = []
    for k in range(1, len(counts) + 1):
        for n in (n for n in _grid(int(np.sort(counts)[:k].sum())) if n >= k):
            chosen = _choices(placed, _draws(kinds, k, n, repeats, np.random.default_rng([seed, k, n])))
            agreement = float((chosen == best).mean())
            spread = None if oracle is None else _spread(oracle[chosen])
            points.append(Point(k, n, agreement, _spread(values[chosen]), spread))
    return Sensitivity(
        points=tuple(points),
        best=trials[best].number,
        value=_references(values, unsupervised),
        oracle=None if oracle is None else _references(oracle, unsupervised),
        repeats=repeats,
        seed=seed,
    )


def _is_scored(trial: Trial, result: SearchResult) -> bool:
    """Whether every fold has a score of every known anomaly, and normals to compare it with."""
    known = len(result.kinds)
    return known > 0 and bool(trial.folds) and all(fold.normal and len(fold.known) == known for fold in trial.folds)


def _grid(last: int) -> list[int]:
    """1, 2, 5, 10, 20, 50 and so on below the last, and the last."""
    steps = [digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5)]
    return [*(step for step in steps if step < last), last]


def _draws(kinds: np.ndarray, k: int, n: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of n anomalies of k random kinds, at least one of each: ``(R, A)`` bool.

    Args:
        kinds: The kind of each anomaly, counted from 0; ``(A,)``.
        k: At most as many as there are.
        n: At least k, and at most as many as any k kinds have.
        repeats: How many draws.
        rng: Where chance is from.
    """
    order = rng.random((repeats, kinds.size))  # the n smallest are drawn
    every = np.tile(np.arange(kinds.max() + 1), (repeats, 1))
    of_kind = kinds == rng.permuted(every, axis=1)[:, :k, None]  # (R, k, A)
    first = np.where(of_kind, order[:, None], np.inf).argmin(axis=2)  # (R, k)
    order[~of_kind.any(axis=1)] = np.inf
    np.put_along_axis(order, first, -1.0, axis=1)
    drawn = np.zeros(order.shape, bool)
    np.put_along_axis(drawn, np.argpartition(order, n - 1, axis=1)[:, :n], True, axis=1)
    return drawn


def _choices(placed: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The best trial by each draw, of equals the earliest; ``(R,)`` from ``(T, A)`` and ``(R, A)``."""
    auroc = drawn @ placed.T / drawn.sum(axis=1, keepdims=True)
    return np.asarray(auroc.round(12).argmax(axis=1))  # equals must not be told apart by the last bit


def _spread(values: np.ndarray) -> Spread:
    low, high = np.quantile(values, [0.1, 0.9])
    return Spread(float(values.mean()), float(low), float(high), tuple(values.tolist()))


def _references(values: np.ndarray, unsupervised: int | None) -> References:
    by_loss = None if unsupervised is None else float(values[unsupervised])
    return References(float(values.max()), by_loss, float(values.mean()))
