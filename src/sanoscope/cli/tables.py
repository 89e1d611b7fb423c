"""Results as text on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sanoscope.report.clusters_content import MatchTable, Value
    from sanoscope.report.content import ReportContent
    from sanoscope.subtypes.groups import Groups


def print_results(content: ReportContent, *, subjects: bool = False) -> None:
    """Results per image where labels are known, per pixel where masks are, and what a reader should know.

    Args:
        content: Of the report.
        subjects: Print results per subject too, and what thresholds decide of pixels.
    """
    from sanoscope.evaluation import (
        format_text_table,
        pixel_decisions_table,
        pixel_results_table,
        pixel_table_notes,
        results_table,
        table_notes,
    )

    if content.rows:
        typer.echo(format_text_table(results_table(content.rows)))
    if subjects:
        for title, rows in content.subject_rows.items():
            typer.echo(f"\n{title}:\n{format_text_table(results_table(rows))}")
    for title, pixel_rows in content.pixel_rows.items():
        typer.echo(f"\nPer pixel, {title.lower()}:\n{format_text_table(pixel_results_table(pixel_rows))}")
        if subjects:
            typer.echo(f"\n{format_text_table(pixel_decisions_table(pixel_rows))}")
        for note in pixel_table_notes(pixel_rows):
            typer.echo(f"note: {note}")
    for note in dict.fromkeys((*content.notes, *table_notes(content.rows))):
        typer.echo(f"note: {note}")


def print_groups(groups: Groups) -> None:
    """The size of each cluster, its classes where labels are known, and how well both match."""
    import numpy as np

    from sanoscope.evaluation import format_text_table

    names, labels = groups.classes
    header = ["cluster", "images", *names]
    rows = []
    for number in range(groups.number):
        here = groups.assigned == number
        rows.append(
            [str(number), str(here.sum()), *(str((here & (labels == code)).sum()) for code in range(len(names)))]
        )
    typer.echo(format_text_table([header, *rows]))
    if groups.silhouette is not None:
        typer.echo(f"silhouette: {groups.silhouette:.3f}")
    if groups.has_classes and len(np.unique(groups.assigned)) > 1:
        match, subjects = groups.match()["adjusted_rand"], groups.match_with_subjects()["adjusted_rand"]
        beside = "" if subjects is None else f", with subjects {subjects:.3f}"
        typer.echo(f"adjusted Rand index with classes {match:.3f}{beside}")


def print_match(table: MatchTable) -> None:
    """How well clusters match classes in folds, and what a reader should know; intervals are in the report."""
    from sanoscope.evaluation import format_text_table

    lines = [[row.title, *(_cell(row.values.get(metric)) for metric in table.metrics)] for row in table.rows]
    typer.echo(f"\n{table.title}:\n{format_text_table([['row', *table.metrics.values()], *lines])}")
    for note in table.notes:
        typer.echo(f"note: {note}")


def _cell(value: Value | None) -> str:
    if value is None:
        return "-"
    return f"{value.mean:.3f}" + ("" if value.deviation is None else f" ± {value.deviation:.3f}")
