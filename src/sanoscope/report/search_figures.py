"""The figures of a search for settings.

No text from outside is drawn but short values of options in ASCII: others stand in the captions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.report.search_content import Choices, SearchContent, TrialRow
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Numbers that reach this many times as far are on a logarithmic axis.
_DECADE = 10.0
# A loss so many interquartile ranges above the upper quartile is beyond the axis: it would squeeze all others.
_FENCE = 3.0
# Digits that have room on a logarithmic axis, by how many times as far it reaches at most.
_DIGITS = {30.0: (1.0, 2.0, 5.0), 100.0: (1.0, 3.0), np.inf: (1.0,)}
# Up to so many different numbers are drawn side by side, each with its value below it.
_FEW = 6
# The longest text below an axis, and the length of all texts from which they are slanted.
_LONGEST_TEXT, _LONG_TEXTS = 18, 40
_MARKERS = "os^Dvp"


@style()
def search_figure(content: SearchContent) -> Figure:
    """The trials in their order, and the best value so far.

    Args:
        content: With a value of at least one trial, in some fold.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 3.5))
    axes = figure.add_subplot()
    rows = sorted(content.rows, key=lambda row: row.number)
    if complete := [(row.number, row.value) for row in rows if row.value is not None]:
        numbers, values = zip(*complete, strict=True)
        extremum = np.maximum if content.higher_is_better else np.minimum
        best = extremum.accumulate(values)
        ends = [*numbers, rows[-1].number + 0.5]
        axes.plot(ends, [*best, best[-1]], color=COLOURS["muted"], drawstyle="steps-post", label="best so far")
    _mark_trials(axes, content, rows, [row.number for row in rows])
    if nothing := [row.number for row in rows if row.shown is None]:
        looks: dict[str, Any] = {"color": COLOURS["muted"], "markersize": 7, "clip_on": False}
        axes.plot(nothing, [0] * len(nothing), "|", transform=axes.get_xaxis_transform(), label="no fold", **looks)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.set(xlabel="Trial", xlim=(rows[0].number - 0.5, rows[-1].number + 0.5))
    figure.legend(loc="outside upper left", ncols=6)
    return figure


@style()
def option_figure(content: SearchContent, name: str) -> tuple[Figure, dict[str, str]]:
    """The value of each trial against one option.

    Args:
        content: With trials that set the option and have a value in some fold.
        name: Of the option.

    Returns:
        The figure, and what is drawn by number because it is no short text, by that number.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7, 2.7))
    axes = figure.add_subplot()
    rows = [row for row in content.rows if name in row.options and row.shown is not None]
    values = [row.options[name] for row in rows]
    key: dict[str, str] = {}
    if _are_numbers(values) and len(set(values)) > _FEW:
        places: Sequence[float] = values
        if 0 < _DECADE * min(values) <= max(values):
            _make_logarithmic(axes, values)
    else:
        texts = _categories(values)
        places = [texts.index(_text(value)) for value in values]
        if not all(text.isascii() and text.isprintable() and len(text) <= _LONGEST_TEXT for text in texts):
            key = {str(number): text for number, text in enumerate(texts, start=1)}
        _label_categories(axes, list(key) or texts)
    _mark_trials(axes, content, rows, places)
    return figure, key


@style()
def choice_figure(choices: Choices) -> Figure:
    """What the choice by few known anomalies is worth, over their number; a line for each number of kinds."""
    figure, axes = _anomaly_axes(choices, (7.2, 4.0))
    curves = choices.curves
    for curve, look in zip(curves, _curve_looks(choices), strict=True):
        axes.plot(curve.anomalies, curve.mean, label=_kinds(curve.kinds) if len(curves) > 1 else "mean", **look)
    widest = curves[-1]
    band = axes.fill_between(widest.anomalies, widest.low, widest.high, color=COLOURS["accent"], alpha=0.15, lw=0)
    band.set_label("10th to 90th percentile" + (f", {_kinds(widest.kinds)}" if len(curves) > 1 else ""))
    best = "best of all trials" + (" (oracle)" if choices.oracle else "")
    for value, line, text in (
        (choices.best, "-", best),
        (choices.unsupervised, (0, (5, 2)), "chosen by validation loss"),
        (choices.mean, (0, (1, 1.5)), "mean of the trials"),
    ):
        if value is not None:
            axes.axhline(value, color=COLOURS["ink"], linewidth=1.1, linestyle=line, label=text)
    axes.set_ylabel("Test AUROC of the choice (oracle)" if choices.oracle else "AUROC on all known anomalies")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@style()
def agreement_figure(choices: Choices) -> Figure:
    """How often few known anomalies choose what all of them choose, over their number."""
    figure, axes = _anomaly_axes(choices, (3.7, 3.7))
    for curve, look in zip(choices.curves, _curve_looks(choices), strict=True):
        axes.plot(curve.anomalies, curve.agreement, label=_kinds(curve.kinds), clip_on=False, **look)
    axes.set(ylim=(0, 1), ylabel="Share of the draws")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    if len(choices.curves) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _mark_trials(axes: Axes, content: SearchContent, rows: Sequence[TrialRow], places: Sequence[float]) -> None:
    """Complete trials as full marks, others as hollow ones, the best one within a ring, wild losses at the edge."""
    top = _top(content)
    size = 5 if len(rows) <= 60 else 3.5
    colour = COLOURS["accent"]
    looks: dict[str, dict[str, Any]] = {
        "not complete": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": COLOURS["muted"]},
        "complete": {"marker": "o", "color": colour, "alpha": 0.75, "markeredgewidth": 0},
        "beyond the axis": {"marker": "^", "color": colour, "transform": axes.get_xaxis_transform(), "clip_on": False},
        "the best": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": COLOURS["ink"]},
    }
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in looks}
    for place, row in zip(places, rows, strict=True):
        if row.shown is not None and row.shown > top:
            points["beyond the axis"].append((place, 1.0))
        elif row.shown is not None:
            points["not complete" if row.value is None else "complete"].append((place, row.shown))
            points["the best"] += [(place, row.shown)] if row.rank == 1 else []
    for name, marked in points.items():
        if marked:
            marker_size = size + 5 if name == "the best" else size
            axes.plot(*zip(*marked, strict=True), linestyle="none", label=name, markersize=marker_size, **looks[name])
    if points["beyond the axis"]:
        axes.set_ylim(top=top)
    axes.set_ylabel(content.criterion)


def _top(content: SearchContent) -> float:
    """Where the axis of values ends; infinite where nothing is beyond."""
    values = [row.shown for row in content.rows if row.shown is not None]
    if content.higher_is_better or not values:
        return np.inf
    lower, upper = np.quantile(values, [0.25, 0.75])
    fence = float(upper + _FENCE * (upper - lower))
    return fence if max(values) > fence > min(values) else np.inf


def _make_logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """The horizontal axis, for positive values.

    With plain numbers: matplotlib's powers of ten are mathematical text, which stays markup in an SVG.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    reach = max(values) / min(values)
    axes.xaxis.set_major_locator(LogLocator(subs=next(digits for most, digits in _DIGITS.items() if reach <= most)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_categories(axes: Axes, texts: Sequence[str]) -> None:
    slanted: dict[str, Any] = (
        {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, texts)) > _LONG_TEXTS else {}
    )
    axes.set_xticks(range(len(texts)), texts, **slanted)
    axes.set_xlim(-0.6, len(texts) - 0.4)
    axes.grid(visible=False, axis="x")


def _anomaly_axes(choices: Choices, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Axes over the number of known anomalies, with a tick at each that is drawn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    numbers = sorted({n for curve in choices.curves for n in curve.anomalies})
    _make_logarithmic(axes, numbers)
    # The last of a curve may lie close to the one before it; where labels would touch, the larger one stays.
    apart = 1.25 if size[0] > 5 else 1.6
    ticks = [n for n, following in zip(numbers, [*numbers[1:], np.inf], strict=True) if following / n > apart]
    axes.set_xticks(ticks)
    axes.set_xticks([], minor=True)
    axes.set_xlim(numbers[0] / 1.15, numbers[-1] * 1.15)
    axes.set_xlabel("Known anomalies")
    return figure, axes


def _curve_looks(choices: Choices) -> list[dict[str, Any]]:
    """From faint to full with the number of kinds, and a marker of its own for each."""
    strengths = np.linspace(0.35, 1.0, len(choices.curves)) if len(choices.curves) > 1 else [1.0]
    return [
        {"color": COLOURS["accent"], "alpha": float(strength), "marker": marker, "markersize": 4.5}
        for strength, marker in zip(strengths, _MARKERS, strict=False)
    ]


def _kinds(number: int) -> str:
    return f"of {number} kind" + ("" if number == 1 else "s")


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _categories(values: Sequence[Any]) -> list[str]:
    """The different values as text, in their order; by their text where they cannot be compared."""
    by_text = {_text(value): value for value in values}
    try:
        return sorted(by_text, key=by_text.__getitem__)
    except TypeError:
        return sorted(by_text)


def _text(value: Any) -> str:
    """An option's value as text; lists without spaces."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
