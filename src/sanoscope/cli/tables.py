"""Results as text on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sanoscope.report.content import ReportContent


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
