"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.errors import OptionError
from sanoscope.evaluation import METRIC_LABELS, pixel_decisions_table, pixel_results_table, table_notes
from sanoscope.evaluation.tables import TABLE_METRICS
from sanoscope.report import figures, summary
from sanoscope.report.content import ReportContent
from sanoscope.report.images import outlined, overlay, png
from sanoscope.report.svg import inline_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# Up to this width an image is enlarged with its pixels kept visible; wider ones are smoothed.
_SMALL_IMAGE = 160

_TERMS = {"loss": "Loss", "reconstruction": "Reconstruction error", "kl": "KL divergence"}


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: its SVG, a heading and a caption."""

    svg: Markup
    title: str
    caption: str


def write_report(content: ReportContent, path: Path) -> Path:
    """Writes the report as one HTML file with its style, figures and images inside.

    The same content gives the same bytes. The file appears whole or not at all.

    Args:
        content: What to show; parts without content are left out.
        path: Replaced if it exists; missing folders are made.

    Returns:
        The path.

    Raises:
        OptionError: The file cannot be written.
    """
    return write_page(render(content), path)


def write_page(page: str, path: Path) -> Path:
    """Writes a page; the file appears whole or not at all. For the errors see ``write_report``."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # File names may hold bytes that are no text; they are shown as "?".
        unfinished.write_text(page, encoding="utf-8", errors="replace")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise OptionError(
            f"{path}: the report cannot be written ({error.strerror}); give a file in a writable folder"
        ) from error
    return path


def render(content: ReportContent) -> str:
    """The page as text."""
    drawings = list(_score_drawings(content))
    training = list(_training_drawings(content))
    present = {
        "results": ("Results", content.rows),
        "subjects": ("Results per subject", content.subject_rows),
        "pixels": ("Results per pixel", content.pixel_rows),
        "scores": ("Scores and decisions", drawings),
        "training": ("Training", training),
        "gallery": ("Gallery", any(content.gallery.values())),
        "side-by-side": ("Side by side", content.side_by_side),
        "volumes": ("Volumes and slides", content.montages),
        "decision": ("Decision", content.decision),
        "recipe": ("Recipe", content.recipe),
        "provenance": ("Provenance", content.provenance),
        "unreadable": ("Unreadable files", content.unreadable),
    }
    return (
        page_environment()
        .get_template("report.html")
        .render(
            content=content,
            sections={name: title for name, (title, there) in present.items() if there},
            verdict=summary.verdict(content),
            tiles=summary.tiles(content),
            notes=summary.notes(content),
            metrics={metric: METRIC_LABELS[metric] for metric in TABLE_METRICS},
            pixel_tables={
                title: (pixel_results_table(rows), pixel_decisions_table(rows))
                for title, rows in content.pixel_rows.items()
            },
            confusion=summary.confusion(content),
            decision=summary.decision_facts(content),
            options=summary.options_by_part(content),
            facts={name: value for name, value in content.provenance.items() if not _is_nested(value)},
            drawings=drawings,
            training=training,
            training_length=summary.training_length(content),
            small_image=_SMALL_IMAGE,
            legend=_legend() if content.side_by_side else {},
        )
    )


def _score_drawings(content: ReportContent) -> Iterator[Drawing]:
    """The histogram, and the curves where both classes are there."""
    threshold = content.decision["threshold"]
    if not content.scores.size:
        return
    labels = np.asarray(content.labels)
    classes = [f"{(labels == label).sum():,} {name}" for label, (name, _) in figures.CLASSES.items()]
    histogram = figures.score_histogram(content.scores, labels, content.calibration_scores, threshold)
    text = f"Histogram of the scores of {', '.join(classes)} images; the threshold is {threshold:.4g}."
    yield Drawing(
        inline_svg(histogram, "histogram", text),
        "Distribution of the scores",
        f"Score: {content.score_name}. An image right of the threshold is called abnormal.",
    )
    if not {0, 1} <= set(labels.tolist()):
        return
    for draw, title, metric, dotted in (
        (figures.roc_figure, "ROC curve", "auroc", "chance"),
        (figures.precision_recall_figure, "Precision-recall curve", "average_precision", "prevalence"),
    ):
        numbers = summary.comparison(content.rows, metric)
        drawing = inline_svg(draw(content.scores, labels, threshold), metric, f"{title}. {numbers}")
        yield Drawing(drawing, title, f"{numbers} Dotted: {dotted}.")


def _training_drawings(content: ReportContent) -> Iterator[Drawing]:
    """One figure for each logged term."""
    epochs = np.array([row["epoch"] for row in content.history])
    for number, (term, sides) in enumerate(figures.training_terms(content.history).items()):
        last = ", ".join(f"{side} {values[-1]:.4g}" for side, values in sides.items())
        caption = f"Epoch {epochs[-1]:.0f}: {last}."
        title = _TERMS.get(term, term.replace("_", " ").capitalize())
        text = f"{title} over {len(epochs)} epochs. {caption}"
        yield Drawing(inline_svg(figures.training_figure(epochs, sides), f"training-{number}", text), title, caption)


def _legend() -> dict[str, np.ndarray]:
    """The colours of maps from nothing to full strength over a grey image, and the outline of a region."""
    height, width = 14, 140
    strength = np.broadcast_to(np.linspace(0, 1, width), (height, width))
    grey = np.full((height, width, 3), 128, np.uint8)
    square = np.ones((height, height), bool)
    return {"map": overlay(grey, strength, (0.0, 1.0)), "outline": outlined(grey[:, :height], square)}


def page_environment() -> Environment:
    """Where templates find their files, their style and their filters. Everything inserted is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sanoscope.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "png_uri": lambda image: f"data:image/png;base64,{base64.b64encode(png(image)).decode()}",
        "plain": _plain,
        "numbered": lambda elements: enumerate(elements, start=1),
        "interval": summary.interval,
        "count": summary.count,
        "table_notes": table_notes,
        "pixel_facts": summary.pixel_facts,
    }
    environment.tests["nested"] = _is_nested
    return environment


def _is_nested(value: Any) -> bool:
    """Whether a value of the provenance is shown as a table of its own."""
    if isinstance(value, list | tuple):
        return any(isinstance(element, Mapping) for element in value)
    return isinstance(value, Mapping) and bool(value)


def _plain(value: Any) -> str:
    """A setting as one would write it in YAML."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
