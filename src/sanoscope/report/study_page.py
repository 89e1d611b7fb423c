"""The page of a study as one HTML file that needs nothing else."""

from __future__ import annotations

from sanoscope.report.html import page_environment
from sanoscope.report.study_content import StudyContent
from sanoscope.report.study_drawings import CURVES, RANKS, intervals_name, study_drawings
from sanoscope.report.study_summary import notes, overall_note, table_note, tiles
from sanoscope.report.study_table import overall_table, pivot_table, results_table
from sanoscope.report.study_verdict import verdict


def render_study(content: StudyContent) -> str:
    """The page as text; the same content gives the same text."""
    drawings = study_drawings(content)
    collections = {f"collection-{number}": section for number, section in enumerate(content.sections, start=1)}
    present = {
        "overall": ("All collections", content.overall),
        "curves": ("How few known anomalies are enough", CURVES in drawings),
        **{name: (section.title, True) for name, section in collections.items()},
        "claims": ("What the paper says", content.claims),
        "protocol": ("Protocol", content.protocol),
        "options": ("Options that were changed", any(content.changed.values())),
        "failures": ("Failed jobs", content.failures),
        "environment": ("Environment", content.environment),
    }
    return (
        page_environment()
        .get_template("study.html")
        .render(
            content=content,
            sections={name: title for name, (title, there) in present.items() if there},
            verdict=verdict(content),
            tiles=tiles(content),
            notes=notes(content),
            overall=overall_table(content) if content.overall else None,
            overall_note=overall_note(content) if content.overall else "",
            ranks=drawings.get(RANKS),
            curves=drawings.get(CURVES),
            collections=[
                (
                    name,
                    section,
                    pivot_table(content, section) if content.pivot else None,
                    results_table(content, section),
                    table_note(content, section),
                    drawings.get(intervals_name(number)),
                )
                for number, (name, section) in enumerate(collections.items(), start=1)
            ],
        )
    )
