"""Results as text on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sanoscope.findings import Findings


def print_results(findings: Findings, *, resamples: int = 1000, subjects: bool = False) -> None:
    """The results table per image, and per subject if asked for, with what a reader should know."""
    from sanoscope.evaluation import format_text_table, results_table, table_notes

    content = findings.content(resamples=resamples)
    typer.echo(format_text_table(results_table(content.rows)))
    if subjects:
        for title, rows in content.subject_rows.items():
            typer.echo(f"\n{title}:\n{format_text_table(results_table(rows))}")
    for note in dict.fromkeys((*content.notes, *table_notes(content.rows))):
        typer.echo(f"note: {note}")
