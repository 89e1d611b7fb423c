"""The figures of a study: intervals of its rows, ranks over collections, lines over known anomalies.

Names are drawn as they are where the font has their characters; others are drawn by number, with the names in a key.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.report.clusters_figures import look_of
from sanoscope.report.study_content import StudyContent, StudyCurve, StudyOverall, StudyRow, StudySection
from sanoscope.report.study_numbers import value_of
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Characters in a line of a name, at the side of a plot and at the sides of the ranks.
_NAME, _RANKED_NAME = 38, 27
# Inches: of a line of text, and between rows.
_LINE, _GAP = 0.15, 0.13
_LOOKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "method": ("mean, 95% interval", {"marker": "o", "color": COLOURS["accent"], "markersize": 5}),
    "supervised": ("learned from labels", {"marker": "s", "color": COLOURS["accent"], "markersize": 5}),
    "trivial": ("trivial", {"marker": "o", "color": COLOURS["muted"], "markersize": 4.5, "alpha": 0.55}),
}
_PAPER: dict[str, Any] = {"marker": "D", "markerfacecolor": "none", "markeredgecolor": COLOURS["ink"], "markersize": 5}


def drawn_rows(content: StudyContent, section: StudySection) -> list[StudyRow]:
    """The rows with something to draw, the trivial ones last."""
    main = content.main_metric
    rows = [row for row in section.rows if value_of(row, main) is not None or published_value(row, main) is not None]
    return sorted(rows, key=lambda row: row.kind == "trivial")


def published_value(row: StudyRow, metric: str) -> float | None:
    """The paper's number, on the scale of 0 to 1 where it is a percentage; None without one."""
    cell = row.cells.get(metric)
    found = re.search(r"[-−]?\d*\.?\d+", cell.published) if cell is not None and cell.published else None
    if found is None:
        return None
    value = float(found[0].replace("−", "-"))
    return value / 100 if abs(value) > 1 else value


@style()
def interval_figure(content: StudyContent, section: StudySection) -> tuple[Figure, dict[str, str]]:
    """The main metric of each row with its interval, the paper's beside it, and the reference as a line.

    Args:
        content: Of the study.
        section: With a ``drawn_rows``.

    Returns:
        The figure, and names that are drawn by number, by what is drawn.
    """
    from matplotlib.figure import Figure

    main, rows = content.main_metric, drawn_rows(content, section)
    labels, key = _labels([row.name for row in rows], _NAME)
    heights = [_LINE * (label.count("\n") + 1) + _GAP for label in labels]
    places = np.cumsum(heights) - np.array(heights) / 2
    figure = Figure(figsize=(7.2, sum(heights) + 0.95))
    axes = figure.add_subplot()
    for row in rows:
        if row.name == content.reference and (value := value_of(row, main)) is not None:
            axes.axvline(value, color=COLOURS["ink"], linewidth=0.8, zorder=1, label="the reference")
    for kind, (label, look) in _LOOKS.items():
        _mark_rows(
            axes, [(place, row) for place, row in zip(places, rows, strict=True) if row.kind == kind], main, label, look
        )
    papers = [
        (value, place)
        for place, row in zip(places, rows, strict=True)
        if (value := published_value(row, main)) is not None
    ]
    if papers:
        axes.plot(*zip(*papers, strict=True), linestyle="none", label="the paper's", **_PAPER)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
    axes.set(ylim=(sum(heights), 0), xlabel=content.metrics[main])
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.03)
    figure.legend(loc="outside upper left", ncols=5)
    return figure, key


def _mark_rows(
    axes: Axes, rows: Sequence[tuple[float, StudyRow]], metric: str, label: str, look: dict[str, Any]
) -> None:
    """Rows of a kind: a mark at the value and a line from one end of its interval to the other."""
    marked = [(row.cells[metric], place) for place, row in rows if value_of(row, metric) is not None]
    for cell, place in marked:
        if cell.low is not None and cell.high is not None:
            line = {"color": look["color"], "alpha": look.get("alpha"), "linewidth": 2, "solid_capstyle": "butt"}
            axes.plot([cell.low, cell.high], [place, place], **line)
    if marked:
        values, places = zip(*((cell.value, place) for cell, place in marked), strict=True)
        axes.plot(values, places, linestyle="none", label=label, **look)


@style()
def rank_figure(overall: StudyOverall) -> tuple[Figure, dict[str, str]]:
    """The critical-difference diagram: mean ranks on an axis, bars below it that join what is not told apart.

    After Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).

    Args:
        overall: With a critical difference and the ranks of two rows at least.

    Returns:
        As ``interval_figure``.
    """
    from matplotlib.figure import Figure

    assert overall.critical_difference is not None
    ranked = sorted((rank, name, kind) for name, kind, _, rank in overall.rows if rank is not None)
    labels, key = _labels([name for _, name, _ in ranked], _RANKED_NAME)
    ranks, bars = [rank for rank, *_ in ranked], cliques([rank for rank, *_ in ranked], overall.critical_difference)
    left, right, width, top = 2.35, 4.85, 7.2, 0.75  # inches, from the upper left corner
    scale = (right - left) / (len(ranked) - 1)
    across = [left + (rank - 1) * scale for rank in ranks]
    first_name = top + 0.13 * len(bars) + 0.3
    half = (len(ranked) + 1) // 2
    sides = [(left - 0.15, "right", range(half)), (right + 0.15, "left", range(len(ranked) - 1, half - 1, -1))]
    figure = Figure(figsize=(width, 1))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    lowest = first_name
    for end, alignment, numbers in sides:
        down = first_name
        for number in numbers:
            height = _LINE * (labels[number].count("\n") + 1) + _GAP
            place, colour = down + height / 2, COLOURS["muted" if ranked[number][2] == "trivial" else "ink"]
            axes.plot([across[number], across[number], end], [top, place, place], color=colour, linewidth=0.7)
            beside = end - 0.05 if alignment == "right" else end + 0.05
            axes.text(beside, place, labels[number], ha=alignment, va="center", color=colour, fontsize=8)
            down += height
        lowest = max(lowest, down)
    for number, (first, last) in enumerate(bars):
        ends = [across[first] - 0.05, across[last] + 0.05]
        axes.plot(ends, [top + 0.13 * (number + 1)] * 2, color=COLOURS["accent"], linewidth=3.5, solid_capstyle="butt")
    _draw_rank_axis(axes, len(ranked), left, scale, top)
    _draw_difference(axes, overall.critical_difference, left, scale)
    figure.set_size_inches(width, lowest + 0.05)
    axes.set(xlim=(0, width), ylim=(lowest + 0.05, 0))
    axes.set_axis_off()
    return figure, key


def _draw_rank_axis(axes: Axes, number: int, left: float, scale: float, top: float) -> None:
    axes.plot([left, left + (number - 1) * scale], [top, top], color=COLOURS["ink"], linewidth=0.9)
    for rank in range(1, number + 1, 1 + number // 16):
        place = left + (rank - 1) * scale
        axes.plot([place, place], [top, top - 0.06], color=COLOURS["ink"], linewidth=0.9)
        axes.text(place, top - 0.09, str(rank), ha="center", va="bottom", color=COLOURS["muted"], fontsize=8)


def _draw_difference(axes: Axes, difference: float, left: float, scale: float) -> None:
    """The critical difference as a ruler above the axis."""
    ends, place = [left, left + difference * scale], 0.3
    axes.plot(ends, [place, place], color=COLOURS["accent"], linewidth=1.2, marker="|", markersize=6)
    text = f"critical difference {difference:.2f}"
    axes.text(left, place - 0.08, text, ha="left", va="bottom", color=COLOURS["muted"], fontsize=8)


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Where bars lie: the first and last of each longest run of ranks that differ by less than a difference.

    Args:
        ranks: Ascending.
        difference: Critical.
    """
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(number for number, other in enumerate(ranks) if other == rank or other - rank < difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


@style()
def curve_figure(content: StudyContent) -> tuple[Figure, dict[str, str]]:
    """The main metric over the number of known anomalies; a line with a band for each curve of the study.

    Returns:
        As ``interval_figure``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8))
    axes = figure.add_subplot()
    labels, key = _labels([curve.title for curve in content.curves], _NAME)
    numbers = sorted({number for curve in content.curves for number in curve.x})
    for place, (label, curve) in enumerate(zip(labels, content.curves, strict=True)):
        _draw_curve(axes, curve, [numbers.index(number) for number in curve.x], label, place)
    steps = range(0, len(numbers), 1 + len(numbers) // 13)
    axes.set_xticks(steps, [f"{numbers[step]:g}" for step in steps])
    axes.set(xlabel="Known anomalies", ylabel=content.metrics[content.main_metric])
    figure.legend(loc="outside upper left", ncols=3)
    return figure, key


def _draw_curve(axes: Axes, curve: StudyCurve, places: Sequence[int], label: str, number: int) -> None:
    look = look_of(number)
    low, high = (np.array(edge, dtype=float) for edge in (curve.low, curve.high))  # None becomes NaN: no band there
    axes.fill_between(places, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axes.plot(places, curve.y, color=look.colour, marker=look.marker, markersize=4.5, label=label)


def _labels(names: Sequence[str], width: int) -> tuple[list[str], dict[str, str]]:
    """Names in lines of a width; those that the font lacks by number, and what these are."""
    numbers = {name: f"({place})" for place, name in enumerate((name for name in names if not _is_drawable(name)), 1)}
    lines = [numbers.get(name) or "\n".join(textwrap.wrap(name, width)) for name in names]
    return lines, {number: name for name, number in numbers.items()}


def _is_drawable(name: str) -> bool:
    # What begins with an underscore is left out of legends.
    return (
        name.isprintable() and not name.startswith("_") and bool(name.strip()) and set(map(ord, name)) <= _characters()
    )


@functools.cache
def _characters() -> frozenset[int]:
    """What the font of figures can draw: Latin, Greek, Cyrillic, mathematical signs and more."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())
