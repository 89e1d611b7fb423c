"""The figures of clusters: images as points in a plane, and what speaks for each number of clusters.

No text from outside is drawn: clusters, classes and subjects stand beside the figures with their colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.clustering.number import STABLE, NumberChoice
from sanoscope.clustering.projection import Projection
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart with the common kinds of colour blindness, on light and on dark pages: after Okabe and Ito, "Color
# universal design" (2008), without black and with a darker yellow, and some more for many clusters.
PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#b2a429",
    "#8c6bb1",
    "#8a8a8a",
    "#7b4f2c",
    "#4d9c2d",
    "#5a6fd0",
)
UNKNOWN = "#9aa3af"
# Dots in an inch of what is drawn as pixels, so that many points take no more room than few.
_RESOLUTION = 180


def colour_of(number: int) -> str:
    """The colour of a cluster, class or subject by its number; negative numbers are unknown."""
    return UNKNOWN if number < 0 else PALETTE[number % len(PALETTE)]


@style()
def projection_figure(projection: Projection, colours: Sequence[str]) -> Figure:
    """Images as points.

    Args:
        projection: Where they lie.
        colours: Of each of the projection's points.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7, 3.4), dpi=_RESOLUTION)
    axes = figure.add_subplot()
    size = float(np.clip(6000 / len(projection.rows), 2, 16))
    across, up = projection.points.T
    axes.scatter(across, up, c=list(colours), s=size, alpha=0.75, linewidths=0, rasterized=True)
    axes.grid(visible=False)
    if projection.explained is None:
        axes.set(xticks=[], yticks=[])
    else:
        first, second = (f"component {axis} ({share:.0%})" for axis, share in enumerate(projection.explained, start=1))
        axes.set(xlabel=first, ylabel=second)
    return figure


@style()
def number_figure(choice: NumberChoice, used: int) -> Figure:
    """Silhouette and stability of each number of clusters.

    Args:
        choice: What was compared.
        used: The number of clusters in use.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 3.2))
    above, below = figure.subplots(1, 2, sharex=True)
    above.plot(choice.numbers, choice.silhouette, "o-", color=COLOURS["accent"], markersize=4, label="mean")
    above.set(ylabel="Silhouette", xlabel="Number of clusters")
    deviation = np.array(choice.stability_deviation)
    below.errorbar(
        choice.numbers,
        choice.stability,
        deviation,
        fmt="o-",
        color=COLOURS["accent"],
        markersize=4,
        elinewidth=0.8,
        capsize=2,
    )
    below.axhline(STABLE, color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (4, 3)))
    below.set(ylabel="Stability (adjusted Rand index)", xlabel="Number of clusters", ylim=(None, 1.05))
    for axes, values in ((above, choice.silhouette), (below, choice.stability)):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        place = choice.numbers.index(choice.suggested)
        ring = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none"}
        axes.plot(choice.suggested, values[place], markeredgecolor=COLOURS["ink"], **ring)
        if used in choice.numbers:
            axes.axvline(used, color=COLOURS["abnormal"], linewidth=0.8, zorder=0)
    return figure
