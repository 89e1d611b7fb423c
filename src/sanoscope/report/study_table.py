"""The tables of a study as lines of cells, for its page and its Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sanoscope.report.search_page import duration
from sanoscope.report.study_content import StudyCell, StudyContent, StudyRow, StudySection
from sanoscope.report.study_numbers import interval_text, is_oracle, metric_text, p_text, value_of
from sanoscope.report.summary import count


@dataclass(frozen=True)
class Heading:
    """Of a column.

    Attributes:
        text: What is in it.
        oracle: Whether it used labels of the evaluated images.
    """

    text: str
    oracle: bool = False


@dataclass(frozen=True)
class Entry:
    """What stands in a cell.

    Attributes:
        text: The number.
        details: What it must be read with, a line each.
        paper: The paper's number.
        best: Whether it is the highest of its table.
    """

    text: str = "–"
    details: Sequence[str] = ()
    paper: str | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        name: Of the row.
        kind: As ``StudyRow.kind``.
        remarks: What stands below the name.
        entries: One for each column.
    """

    name: str
    kind: str
    remarks: Sequence[str]
    entries: Sequence[Entry]


@dataclass(frozen=True)
class StudyTable:
    """Lines under headings.

    Attributes:
        headings: Of the columns after the one of names.
        lines: In order, the trivial ones last.
    """

    headings: Sequence[Heading]
    lines: Sequence[Line]

    @property
    def groups(self) -> list[tuple[str, list[Line]]]:
        """The lines of methods and those without a model, each with the heading that sets it apart, if any."""
        own = [line for line in self.lines if line.kind != "trivial"]
        trivial = [line for line in self.lines if line.kind == "trivial"]
        groups = [("", own), ("Trivial rows, without a model", trivial)]
        return [(heading, lines) for heading, lines in groups if lines]


def results_table(content: StudyContent, section: StudySection) -> StudyTable:
    """All rows of a collection with all metrics, the comparison with the reference, and what they cost."""
    headings = [Heading(_without_mark(text), is_oracle(metric, text)) for metric, text in content.metrics.items()]
    best = _highest(section, content.main_metric)
    columns = _further_columns(content, section)
    lines = [
        Line(
            row.name,
            row.kind,
            _remarks(content, row),
            [
                *(
                    _cell(metric, row.cells.get(metric), metric == content.main_metric and row.name in best)
                    for metric in content.metrics
                ),
                *(entry(row) for _, entry in columns),
            ],
        )
        for row in _trivial_last(section.rows)
    ]
    return StudyTable([*headings, *(Heading(text) for text, _ in columns)], lines)


def pivot_table(content: StudyContent, section: StudySection) -> StudyTable:
    """The main metric with a line for each method and a column for each reading of its models."""
    main, best = content.main_metric, _highest(section, content.main_metric)
    by_place = {(row.method, row.reading): row for row in section.rows}
    readings = sorted(dict.fromkeys(row.reading for row in section.rows), key=lambda reading: reading is not None)
    lines: dict[str, Line] = {}
    for row in _trivial_last(section.rows):
        places = [by_place.get((row.method, reading)) for reading in readings]
        entries = [
            Entry("") if place is None else _cell(main, place.cells.get(main), place.name in best) for place in places
        ]
        lines.setdefault(row.method, Line(row.method, row.kind, (), entries))
    return StudyTable([Heading(reading or "as trained") for reading in readings], list(lines.values()))


def overall_table(content: StudyContent) -> StudyTable:
    """The main metric of each row on each collection, its mean, and the mean rank.

    Args:
        content: With ``overall``.
    """
    overall, main = content.overall, content.main_metric
    assert overall is not None
    by_name = [{row.name: row for row in section.rows} for section in content.sections]
    best = [_highest(section, main) for section in content.sections]
    lines = []
    for name, kind, mean, rank in overall.rows:
        found = [rows.get(name) for rows in by_name]
        entries = [
            Entry("") if row is None else _cell(main, row.cells.get(main), name in highest, brief=True)
            for row, highest in zip(found, best, strict=True)
        ]
        of_all = Entry("–" if mean is None else metric_text(main, mean), paper=overall.published.get(name))
        lines.append(Line(name, kind, (), [*entries, of_all, Entry("–" if rank is None else f"{rank:.2f}")]))
    titles = [*(section.title for section in content.sections), "Mean", "Mean rank"]
    return StudyTable([Heading(title) for title in titles], lines)


def _further_columns(content: StudyContent, section: StudySection) -> list[tuple[str, Callable[[StudyRow], Entry]]]:
    """What stands beside the metrics, where any row has it: a heading, and the entry of a row."""
    columns: dict[str, tuple[Callable[[StudyRow], object], Callable[[StudyRow], Entry]]] = {
        "Difference": (lambda row: row.comparison, lambda row: _difference(content, row)),
        "Adjusted p": (lambda row: row.comparison, lambda row: _p(content, row)),
        "Rank": (lambda row: row.rank, lambda row: _entry(row.rank, lambda rank: f"{rank:.1f}")),
        "Parameters": (lambda row: row.parameters, lambda row: _entry(row.parameters, _parameters)),
        "Training": (lambda row: row.training_seconds, lambda row: _entry(row.training_seconds, duration)),
        "ms per image": (
            lambda row: row.scoring_milliseconds,
            lambda row: _entry(row.scoring_milliseconds, lambda time: f"{time:.3g}" if time < 100 else f"{time:,.0f}"),
        ),
    }
    return [
        (heading, entry)
        for heading, (is_there, entry) in columns.items()
        if any(is_there(row) is not None for row in section.rows)
    ]


def _cell(metric: str, cell: StudyCell | None, best: bool, brief: bool = False) -> Entry:
    """A value with its deviation and interval, or why there is none; the brief one is alone."""
    if cell is None:
        return Entry()
    if cell.value is None:
        return Entry(details=[cell.reason] if cell.reason and not brief else (), paper=cell.published)
    value, interval = metric_text(metric, cell.value), interval_text(metric, cell.low, cell.high)
    if brief:
        return Entry(value, (), cell.published, best)
    spread = "" if cell.deviation is None else f" ± {metric_text(metric, cell.deviation)}"
    return Entry(value + spread, [interval] if interval else (), cell.published, best)


def _difference(content: StudyContent, row: StudyRow) -> Entry:
    if row.comparison is None:
        return Entry("reference" if row.name == content.reference else "–")
    comparison, metric = row.comparison, content.main_metric
    sign = "+" if comparison.difference >= 0 else ""
    interval = interval_text(metric, comparison.low, comparison.high)
    return Entry(sign + metric_text(metric, comparison.difference), [interval] if interval else ())


def _p(content: StudyContent, row: StudyRow) -> Entry:
    if row.comparison is None:
        return Entry("" if row.name == content.reference else "–")
    delong = row.comparison.delong_p_adjusted
    return Entry(
        "–" if row.comparison.p_adjusted is None else p_text(row.comparison.p_adjusted),
        () if delong is None else [f"DeLong {p_text(delong)}"],
    )


def _entry(value: float | None, text: Callable[[float], str]) -> Entry:
    return Entry() if value is None else Entry(text(value))


def _parameters(number: float) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:,}"


def _remarks(content: StudyContent, row: StudyRow) -> list[str]:
    """What must be known of a row; that it is trivial is said above it."""
    remarks = {"supervised": "learned from labels", "published": "the paper's alone, not carried out"}
    said = [remarks[row.kind]] if row.kind in remarks else []
    if row.name == content.reference:
        said.append("the reference")
    if row.failed:
        said.append(f"{count(len(row.failed), 'job')} failed, mean of {row.jobs:,}")
    return said


def _without_mark(heading: str) -> str:
    """A heading that says oracle itself, less that: each column is marked in the same way."""
    return heading.replace("(oracle)", "").strip()


def _highest(section: StudySection, metric: str) -> set[str]:
    """Names of the rows with the highest value."""
    values = {row.name: value for row in section.rows if (value := value_of(row, metric)) is not None}
    return {name for name, value in values.items() if value == max(values.values())}


def _trivial_last(rows: Sequence[StudyRow]) -> list[StudyRow]:
    return sorted(rows, key=lambda row: row.kind == "trivial")
