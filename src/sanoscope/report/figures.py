"""The figures of a report, drawn from scores, labels and the history of the training.

No text from outside is drawn: names of recipes and scores may be in any script and stand in the captions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.evaluation import precision_recall, roc
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A curve of more points looks the same and only makes the page larger.
_MOST_POINTS = 800
# Where a loss begins this many times above its end, a linear axis shows little but the first epochs.
_LOGARITHMIC_FROM = 20.0

CLASSES = {0: ("normal", "normal"), 1: ("abnormal", "abnormal"), -1: ("no label", "muted")}


@style()
def roc_figure(scores: np.ndarray, labels: np.ndarray, threshold: float) -> Figure:
    """The ROC curve with the point of the decision.

    Args:
        scores: ``(N,)``.
        labels: ``(N,)``, 0 normal, 1 abnormal, −1 unknown; both classes are present.
        threshold: Abnormal means ``score > threshold``.
    """
    figure, axes = _square_axes("False-positive rate (1 − specificity)", "Sensitivity")
    curve = roc(labels, scores)
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(*_thinned(curve.false_positive_rate, curve.true_positive_rate), color=COLOURS["accent"])
    sensitivity, false_positive_rate = ((scores[labels == side] > threshold).mean() for side in (1, 0))
    numbers = f"sensitivity {sensitivity:.2f}, false-positive rate {false_positive_rate:.2f}"
    _mark_decision(axes, false_positive_rate, sensitivity, numbers)
    return figure


@style()
def precision_recall_figure(scores: np.ndarray, labels: np.ndarray, threshold: float) -> Figure:
    """The precision-recall curve with the prevalence and the point of the decision; as ``roc_figure``."""
    figure, axes = _square_axes("Recall (sensitivity)", "Precision")
    curve = precision_recall(labels, scores)
    known = labels >= 0
    abnormal, called = labels[known] == 1, scores[known] > threshold
    axes.axhline(abnormal.mean(), color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(*_thinned(curve.recall, curve.precision), color=COLOURS["accent"], drawstyle="steps-post")
    if called.any():
        precision, recall = abnormal[called].mean(), called[abnormal].mean()
        _mark_decision(axes, recall, precision, f"precision {precision:.2f}, recall {recall:.2f}")
    return figure


@style()
def score_histogram(scores: np.ndarray, labels: np.ndarray, calibration_scores: np.ndarray, threshold: float) -> Figure:
    """How the scores of each class lie about the threshold, as shares so that a small class can be seen.

    Args:
        scores: ``(N,)``, at least one.
        labels: ``(N,)``, 0 normal, 1 abnormal, −1 unknown.
        calibration_scores: ``(M,)``, of the validation normals; may be empty.
        threshold: Abnormal means ``score > threshold``.
    """
    from matplotlib.figure import Figure

    every = np.concatenate([scores, calibration_scores])
    edges = _edges(every, threshold)
    figure = Figure(figsize=(7.2, 3.5))
    axes = figure.add_subplot()
    for label, (name, role) in CLASSES.items():
        members = scores[labels == label]
        if members.size:
            shares = _shares(members, edges)
            axes.stairs(shares, edges, fill=True, color=COLOURS[role], alpha=0.3, linewidth=0)
            axes.stairs(shares, edges, color=COLOURS[role], label=f"{name} ({members.size:,})", linewidth=1.4)
    if calibration_scores.size:
        axes.stairs(
            _shares(calibration_scores, edges),
            edges,
            color=COLOURS["ink"],
            linestyle=(0, (1, 1.5)),
            linewidth=1.2,
            label=f"validation normals ({calibration_scores.size:,})",
        )
    axes.axvline(threshold, color=COLOURS["ink"], linewidth=1.2, label=f"threshold {threshold:.4g}")
    beyond = int(((every < edges[0]) | (every > edges[-1])).sum())
    axes.set_xlabel("Score" + (f" ({beyond:,} beyond the axis are in the outer bars)" if beyond else ""))
    axes.set_ylabel("Share of the class")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    figure.legend(loc="outside upper left", ncols=5)
    return figure


def training_terms(history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, np.ndarray]]:
    """What was logged, by term and then side, one value an epoch, NaN where an epoch has none.

    ``train/kl`` and ``validation/kl`` become the sides ``train`` and ``validation`` of the term ``kl``.
    """
    terms: dict[str, dict[str, np.ndarray]] = {}
    for name in dict.fromkeys(name for row in history for name in row):
        side, slash, term = name.partition("/")
        if slash and side in ("train", "validation"):
            values = np.array([row.get(name, np.nan) for row in history], dtype=np.float64)
            terms.setdefault(term, {})[side] = values
    return terms


@style()
def training_figure(epochs: np.ndarray, sides: Mapping[str, np.ndarray]) -> Figure:
    """One logged term over the epochs.

    Args:
        epochs: ``(E,)``.
        sides: ``(E,)`` values for ``"train"`` and ``"validation"``, or one of them.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    figure = Figure(figsize=(3.7, 2.7))
    axes = figure.add_subplot()
    looks = {"train": (COLOURS["muted"], (0, (3, 1.5))), "validation": (COLOURS["accent"], "-")}
    marker = "o" if len(epochs) == 1 else None
    for side, values in sides.items():
        colour, line = looks[side]
        axes.plot(epochs, values, color=colour, linestyle=line, label=side, marker=marker, markersize=4)
    values = np.concatenate(list(sides.values()))
    finite = values[np.isfinite(values)]
    if finite.size and 0 < _LOGARITHMIC_FROM * finite.min() < finite.max():
        axes.set_yscale("log")
        # Plain numbers: matplotlib's powers of ten are mathematical text, which stays markup in an SVG with real text.
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.set_xlabel("Epoch")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _square_axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 both ways."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.5))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=x_label, ylabel=y_label)
    return figure, axes


def _mark_decision(axes: Axes, x: float, y: float, numbers: str) -> None:
    """The point of the decision, with its numbers above the axes, where no curve passes."""
    colour, text = COLOURS["ink"], f"at the threshold: {numbers}"
    axes.plot([x], [y], "o", color=colour, markersize=5, clip_on=False, zorder=5, label=text)
    axes.figure.legend(loc="outside upper left", handletextpad=0.2)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evenly chosen points of a curve, the ends among them."""
    kept = np.unique(np.linspace(0, x.size - 1, min(x.size, _MOST_POINTS)).round().astype(int))
    return x[kept], y[kept]


def _edges(values: np.ndarray, threshold: float) -> np.ndarray:
    """Edges of bars over the bulk of the values and the threshold.

    The axis ends at the extremes, but not further from the middle 98 % than half their width: one wild image
    must not squeeze all others into one bar. Bars are as wide as Freedman and Diaconis advise, within reason.
    """
    low, first_quartile, third_quartile, high = np.quantile(values, [0.01, 0.25, 0.75, 0.99])
    reach = (high - low) / 2
    low = min(max(values.min(), low - reach), threshold)
    high = max(min(values.max(), high + reach), threshold)
    # Bars need a width where all scores are the same, or differ by rounding only.
    margin = max((high - low) * 0.02, 1e-6 * max(abs(low), abs(high))) or 0.5
    advised = 2 * (third_quartile - first_quartile) / np.cbrt(values.size)
    bars = int(np.clip((high - low) / advised, 10, 60)) if advised > 0 else 10
    return np.linspace(low - margin, high + margin, bars + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of the values in each bar; what lies beyond is in the outer ones."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / values.size
