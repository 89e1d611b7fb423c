"""The figures of a study with their headings and captions, for its page and as files of their own."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sanoscope.report.html import Drawing
from sanoscope.report.study_content import StudyContent, StudySection
from sanoscope.report.study_figures import curve_figure, drawn_rows, interval_figure, published_value, rank_figure
from sanoscope.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKS, CURVES = "ranks", "curves"
# Points of a figure to pixels of its file.
_ENLARGED = 1.45


def intervals_name(number: int) -> str:
    """Of the figure of a section by the section's number, from 1."""
    return f"intervals-{number}"


def study_drawings(content: StudyContent) -> dict[str, Drawing]:
    """All figures by name; those without anything to compare are left out."""
    return dict(_drawings(content))


def svg_file(drawing: Drawing) -> str:
    """A figure as the text of an SVG file, with colours for light and dark surroundings and a ground of its own."""
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing.svg)
    assert view is not None  # matplotlib always writes one
    width, height = (round(_ENLARGED * float(length)) for length in view.groups())
    style = importlib.resources.files("sanoscope.report").joinpath("report.css").read_text(encoding="utf-8")
    colours = style[: style.index("*, *::before")].strip()
    text = "text { font-family: system-ui, 'Segoe UI', 'Helvetica Neue', 'Liberation Sans', sans-serif !important }"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    ground = f'<style>{colours}\n{text}</style><rect width="100%" height="100%" fill="var(--card, #ffffff)"/>'
    opening, _, body = drawing.svg.partition(">")
    return f"{head}{opening.removeprefix('<svg ')}>{ground}{body.strip()}\n"


def _drawings(content: StudyContent) -> Iterator[tuple[str, Drawing]]:
    heading, overall = content.metrics[content.main_metric], content.overall
    if overall is not None and overall.critical_difference is not None:
        ranked = [name for name, _, _, rank in overall.rows if rank is not None]
        if len(ranked) > 1:
            figure, key = rank_figure(overall)
            text = f"Mean ranks over {overall.blocks} collections on an axis, the best on the left."
            caption = (
                "Rank 1 is the best. Bars join rows whose mean ranks differ by less than the critical difference: the "
                "test of Nemenyi does not tell these apart. Grey: trivial rows."
            )
            yield RANKS, _drawing(figure, RANKS, "Mean ranks", text, caption, key)
    if content.curves:
        figure, key = curve_figure(content)
        text = f"{heading} of the configuration that is chosen, over the number of known anomalies it is chosen by."
        yield CURVES, _drawing(figure, CURVES, "How few known anomalies are enough", text, text, key)
    for number, section in enumerate(content.sections, start=1):
        if not content.pivot and len(drawn_rows(content, section)) > 1:
            figure, key = interval_figure(content, section)
            text = f"{heading} of each row with its interval, on {section.title}."
            caption = _interval_caption(content, section)
            yield intervals_name(number), _drawing(figure, intervals_name(number), heading, text, caption, key)


def _drawing(figure: Figure, name: str, title: str, text: str, caption: str, key: Mapping[str, str]) -> Drawing:
    named = " ".join(f"{number}: {name}." for number, name in key.items())
    return Drawing(inline_svg(figure, name, text), title, f"{caption} {named}".strip())


def _interval_caption(content: StudyContent, section: StudySection) -> str:
    rows = drawn_rows(content, section)
    sentences = [f"Lines: 95% intervals, bootstrap over {section.resampled}."]
    if any(published_value(row, content.main_metric) is not None for row in rows):
        where = "with its own protocol, on its own collection" if section.stand_in else "with its own protocol"
        sentences.append(f"Diamonds: the paper's numbers, {where}.")
    sentences.append("Whether two rows differ is what the tests say, not whether their intervals overlap.")
    return " ".join(sentences)
