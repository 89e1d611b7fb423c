"""The figures of clusters: images as points in a plane, and what speaks for each number of clusters.

No text from outside is drawn: clusters, classes and subjects stand beside the figures with their colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.clustering.number import STABLE, NumberChoice
from sanoscope.clustering.projection import Projection
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of Okabe and Ito, "Color universal design" (2008), which are told apart with the common kinds of colour
# blindness; the blue that means normal elsewhere comes late. No more are as different, so that further groups have the
# same colours with another marker.
PALETTE = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#d55e00", "#0072b2")
MARKERS = {"o": "●", "^": "▲", "s": "■"}
# Dots in an inch of what is drawn as pixels, so that many points take no more room than few.
_RESOLUTION = 120


@dataclass(frozen=True)
class Look:
    """How the points of a group are drawn.

    Attributes:
        colour: Of the points.
        marker: Their shape, one of ``MARKERS``.
    """

    colour: str
    marker: str = "o"

    @property
    def sign(self) -> str:
        """The shape as a character, for legends."""
        return MARKERS[self.marker]


UNKNOWN = Look("#9aa3af")


def look_of(number: int) -> Look:
    """The look of a cluster, class or subject by its number."""
    shape, colour = divmod(number, len(PALETTE))
    return Look(PALETTE[colour], list(MARKERS)[shape % len(MARKERS)])


@style()
def projection_figure(projection: Projection, looks: Sequence[Look]) -> Figure:
    """Images as points.

    Args:
        projection: Where they lie.
        looks: Of each of the projection's points.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7, 3.4), dpi=_RESOLUTION)
    axes = figure.add_subplot()
    size = float(np.clip(6000 / len(projection.rows), 2, 16))
    # In a random order, so that no group covers the others because it comes last.
    order = np.random.default_rng(0).permutation(len(projection.rows))
    for marker in MARKERS:
        drawn = [int(i) for i in order if looks[i].marker == marker]
        across, up = projection.points[drawn].T
        colours = [looks[i].colour for i in drawn]
        axes.scatter(across, up, c=colours, s=size, marker=marker, alpha=0.75, linewidths=0, rasterized=True)
    axes.grid(visible=False)
    if projection.explained is None:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
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
            axes.axvline(used, color=COLOURS["ink"], linewidth=0.8, zorder=0)
    return figure
