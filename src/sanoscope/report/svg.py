"""Matplotlib figures as SVG inside a page, in its font and its light or dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What figures are drawn with. In the page each becomes the CSS variable of its name, which has this value in
# report.css and another one in the dark. Blue is normal and orange abnormal everywhere; both, and their
# difference, are safe for the common kinds of colour blindness.
COLOURS = {
    "ink": "#1b2330",
    "muted": "#5a6575",
    "rule": "#dfe3e9",
    "normal": "#2569ad",
    "abnormal": "#b54d04",
    "accent": "#3d4f8f",
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures; in force while they are made and while they are written."""
    import matplotlib
    import matplotlib.style

    look: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: small, searchable, in the font of the page
        "svg.hashsalt": "sanoscope",  # the same figure gives the same bytes
        "text.parse_math": False,
        "font.size": 9,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": COLOURS["muted"],
        "axes.linewidth": 0.6,
        "axes.labelcolor": COLOURS["muted"],
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.6,
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "text.color": COLOURS["ink"],
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 1.4,
        "legend.columnspacing": 1.6,
        "lines.linewidth": 1.6,
    }
    with matplotlib.style.context("default"), matplotlib.rc_context(look):
        yield


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """A figure as an ``<svg>`` element for an HTML page.

    Args:
        figure: Made within ``style``.
        name: Different for each figure of a page; keeps their element ids apart.
        description: The alternative text.
    """
    file = io.StringIO()
    with style():
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    body = re.sub(r"<(metadata|style).*?</\1>", "", text[text.index("<svg") + len("<svg") :], flags=re.DOTALL)
    attributes, _, drawing = body.partition(">")
    view = re.search(r'viewBox="[^"]*"', attributes)
    assert view is not None  # matplotlib always writes one
    drawing = drawing.replace(' id="', f' id="{name}-')
    drawing = drawing.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    for role, colour in COLOURS.items():
        drawing = drawing.replace(colour, f"var(--{role}, {colour})")
    return Markup(f'<svg role="img" aria-label="{escape(description)}" {view[0]}>{drawing}')
