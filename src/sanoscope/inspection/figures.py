"""The figures of an inspection's page; no text from outside is drawn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.inspection.seen import Seen
from sanoscope.report.figures import CLASSES
from sanoscope.report.svg import COLOURS, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 40
MOST_SUBJECTS = 60


@style()
def sizes_figure(seen: Seen) -> Figure:
    """Width against height; the more images of a size, the larger its dot."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.add_subplot()
    counts = Counter(look.size for look in seen.looks)
    sizes, numbers = np.array(list(counts)), np.array(list(counts.values()))
    areas = 12 + 240 * numbers / numbers.max()
    axes.scatter(sizes[:, 1], sizes[:, 0], areas, color=COLOURS["accent"], alpha=0.45, linewidths=0)
    axes.set(xlabel="Width in pixels", ylabel="Height in pixels")
    axes.margins(0.15)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    return figure


@style()
def grey_figure(seen: Seen) -> Figure:
    """How the mean grey levels of each label lie, as shares so that a small class can be seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.add_subplot()
    means = seen.values("mean")
    edges = np.histogram_bin_edges(means, BARS)
    for label, (name, role) in CLASSES.items():
        members = means[seen.labels == label]
        if members.size:
            shares = np.histogram(members, edges)[0] / members.size
            axes.stairs(shares, edges, fill=True, color=COLOURS[role], alpha=0.3, linewidth=0)
            axes.stairs(shares, edges, color=COLOURS[role], label=f"{name} ({members.size:,})", linewidth=1.4)
    axes.set(xlabel="Mean grey level of the image, in the unit of the file", ylabel="Share of the class")
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@style()
def subjects_figure(seen: Seen) -> Figure:
    """For each subject and label, where the middle 90 % of mean grey levels lie; the darkest subjects first."""
    from matplotlib.figure import Figure

    means = seen.values("mean")
    subjects = np.array([case.subject or "" for case in seen.cases])
    order = sorted({*subjects.tolist()} - {""}, key=lambda subject: float(np.median(means[subjects == subject])))
    kept = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_SUBJECTS)).round().astype(int))
    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.add_subplot()
    for place, number in enumerate(kept):
        for label, (_, role) in CLASSES.items():
            members = means[(subjects == order[number]) & (seen.labels == label)]
            if members.size:
                low, middle, high = np.quantile(members, [0.05, 0.5, 0.95])
                shifted = place + {0: -0.15, 1: 0.15, -1: 0.0}[label]
                axes.plot([shifted, shifted], [low, high], color=COLOURS[role], linewidth=1.8, alpha=0.55)
                axes.plot([shifted], [middle], "o", color=COLOURS[role], markersize=3.2)
    axes.set(xlabel="Subjects, from the darkest to the brightest", ylabel="Mean grey level")
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    return figure
