"""A study as a page in GitHub's Markdown with figures as files, and the list of all such pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sanoscope.evaluation import format_markdown_table
from sanoscope.report.search_page import duration
from sanoscope.report.study_content import StudyContent, StudySection
from sanoscope.report.study_drawings import CURVES, RANKS, intervals_name, study_drawings, svg_file
from sanoscope.report.study_summary import notes, overall_note, table_note
from sanoscope.report.study_table import Entry, Line, StudyTable, overall_table, pivot_table, results_table
from sanoscope.report.study_verdict import best_of_all, verdict
from sanoscope.report.summary import count

INTRODUCTION = (
    "Each table is a study that is declared in a file, and its page is written from what its jobs gave: nothing here "
    "is typed by hand. A budget tells how much of the declared protocol was carried out; *stand-in* marks a collection "
    "that is not the paper's own. Numbers of short trainings on small collections show that a table can be carried "
    "out and how its rows lie with each other and with the trivial ones, not what a method is worth at its best."
)


def figure_files(content: StudyContent) -> dict[str, str]:
    """The figures as the texts of SVG files, by file name; the same content gives the same texts."""
    return {_file_name(content, name): svg_file(drawing) for name, drawing in study_drawings(content).items()}


def markdown_study(content: StudyContent, figures: Mapping[str, str]) -> str:
    """The page as text; the same content gives the same text.

    Args:
        content: What to show.
        figures: Where each of the ``figure_files`` lies as seen from the page; those that are missing are not shown.
    """
    shown = {
        name: f"![{_escaped(drawing.title)}]({figures[file]})\n\n{_escaped(drawing.caption)}"
        for name, drawing in (study_drawings(content) if figures else {}).items()
        if (file := _file_name(content, name)) in figures
    }
    return "\n\n".join(block for block in _blocks(content, shown) if block) + "\n"


def markdown_index(contents: Sequence[StudyContent]) -> str:
    """A list of studies that links to ``NAME.md`` for each of them."""
    lines = [["Table", "What it is", "Budget", "Data", "Best row", "Jobs", "Time"]]
    for content in contents:
        done, of = content.jobs
        data = [f"{section.title} (stand-in)" if section.stand_in else section.title for section in content.sections]
        shown = [content.title, content.budget or "the whole protocol", ", ".join(data), best_of_all(content)]
        link = f"[{_escaped(content.name)}]({content.name}.md)"
        lines.append([link, *map(_escaped, shown), f"{done:,} of {of:,}", duration(content.seconds)])
    return f"# Tables\n\n{INTRODUCTION}\n\n{format_markdown_table(lines)}\n"


def _file_name(content: StudyContent, figure: str) -> str:
    return f"{content.name}-{figure}.svg"


def _blocks(content: StudyContent, figures: Mapping[str, str]) -> Iterator[str]:
    yield f"# {_escaped(content.title)}"
    yield f"*{_escaped(content.paper)}*" if content.paper else ""
    budget = "the whole protocol" if content.budget is None else _escaped(content.budget)
    yield f"**Budget: {budget}.**"
    yield _escaped(verdict(content))
    yield _list(notes(content))
    if content.overall is not None:
        yield "## All collections"
        yield _table(overall_table(content))
        yield _escaped(overall_note(content))
        yield figures.get(RANKS, "")
    if content.curves:
        yield "## How few known anomalies are enough"
        yield figures.get(CURVES, "")
    for number, section in enumerate(content.sections, start=1):
        yield from _section_blocks(content, section, number, figures)
    yield from _with_heading("What the paper says", _list(content.claims))
    yield from _with_heading("Protocol", _pairs("What", content.protocol))
    yield from _with_heading("Options that were changed", *_changed(content))
    yield from _with_heading("Failed jobs", _pairs("Job", content.failures))
    yield from _with_heading("Environment", _pairs("What", content.environment.items()))
    done, of = content.jobs
    yield f"{done:,} of {count(of, 'job')} done, in {duration(content.seconds)} added up."


def _section_blocks(
    content: StudyContent, section: StudySection, number: int, figures: Mapping[str, str]
) -> Iterator[str]:
    yield f"## {_escaped(section.title)}"
    yield f"**Stand-in:** {_escaped(section.stand_in)}" if section.stand_in else ""
    yield _escaped(section.source)
    yield _escaped(section.sides)
    if content.pivot:
        yield f"{_escaped(content.metrics[content.main_metric])}:"
        yield _table(pivot_table(content, section))
        yield _folded("All rows with their tests and costs", _table(results_table(content, section)))
    else:
        yield _table(results_table(content, section))
    yield _escaped(table_note(content, section))
    yield figures.get(intervals_name(number), "")
    yield _list(section.notes)


def _with_heading(title: str, *blocks: str) -> Iterator[str]:
    if any(blocks):
        yield from (f"## {title}", *blocks)


def _changed(content: StudyContent) -> Iterator[str]:
    for method, options in content.changed.items():
        if options:
            yield _folded(f"{method}: {count(len(options), 'option')}", _pairs("Option", options.items()))


def _folded(summary: str, block: str) -> str:
    return f"<details><summary>{_escaped(summary)}</summary>\n\n{block}\n\n</details>"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _pairs(heading: str, facts: Iterable[tuple[str, Any]]) -> str:
    lines = [
        [_escaped(name), _escaped(value if isinstance(value, str) else json.dumps(value))] for name, value in facts
    ]
    return format_markdown_table([[heading, ""], *lines]) if lines else ""


def _table(table: StudyTable) -> str:
    headings = [
        "Row",
        *(_escaped(heading.text) + (" (oracle)" if heading.oracle else "") for heading in table.headings),
    ]
    return format_markdown_table([headings, *map(_line, table.lines)])


def _line(line: Line) -> list[str]:
    name = f"*{_escaped(line.name)}* (trivial)" if line.kind == "trivial" else _escaped(line.name)
    return ["<br>".join([name, *map(_escaped, line.remarks)]), *map(_entry, line.entries)]


def _entry(entry: Entry) -> str:
    value = " ".join([f"**{entry.text}**" if entry.best else entry.text, *map(_escaped, entry.details)])
    return f"{value}<br>paper {_escaped(entry.paper)}" if entry.paper else value


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    plain = re.sub(r"\s+", " ", text).strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*~$\[\]]|(?<![^\W_])_|_(?![^\W_])|^[-+#])", r"\\\1", plain)
