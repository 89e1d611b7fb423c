"""Results as text on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sanoscope.report.content import ReportContent


def print_results(content: ReportContent, *, subjects: bool = False) -> None:
    """The results table per image where labels are known, per subject if asked for, and what a reader should know."""
    from sanoscope.evaluation import format_text_table, results_table, table_notes

    if content.rows:
        typer.echo(format_text_table(results_table(content.rows)))
    if subjects:
        for title, rows in content.subject_rows.items():
            typer.echo(f"\n{title}:\n{format_text_table(results_table(rows))}")
    for note in dict.fromkeys((*content.notes, *table_notes(content.rows))):
        typer.echo(f"note: {note}")
