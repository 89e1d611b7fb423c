"""What the page of a study says in words and single numbers."""

from __future__ import annotations

from collections import Counter

from sanoscope.report.search_page import duration
from sanoscope.report.study_content import StudyContent, StudySection
from sanoscope.report.study_numbers import LEARNED, best_method, best_row, is_oracle, p_text, value_of
from sanoscope.report.summary import STANDING_NOTE, Tile, count


def tiles(content: StudyContent) -> list[Tile]:
    """The numbers to see first."""
    kinds = {(row.method, row.kind) for section in content.sections for row in section.rows}
    of_kind = Counter(kind for _, kind in kinds)
    learned = of_kind["method"] + of_kind["supervised"]
    rows = len({row.name for section in content.sections for row in section.rows if row.kind in LEARNED})
    done, of = content.jobs
    stand_ins = sum(section.stand_in is not None for section in content.sections)
    titles = [section.title for section in content.sections]
    return [
        Tile("Methods", f"{learned:,}", [f"in {count(rows, 'row')}", f"{of_kind['trivial']} trivial beside them"]),
        Tile("Jobs done", f"{done:,} of {of:,}", [f"{len(content.failures):,} failed" if content.failures else ""]),
        Tile("Collections", f"{len(titles):,}", [f"{stand_ins} of them a stand-in" if stand_ins else ""]),
        Tile("Time", duration(content.seconds), ["of all jobs, added up"]),
    ]


def notes(content: StudyContent) -> list[str]:
    """What a reader must know, each thing once."""
    main = content.main_metric
    lines = [STANDING_NOTE]
    if content.budget is not None:
        lines.append("A budget below the whole protocol: the numbers are an orientation only.")
    lines += [f"{', '.join(titles)}: {stand_in}" for stand_in, titles in _stand_ins(content).items()]
    trivial = {section.title: name for section in content.sections if (name := _trivial_winner(section, main))}
    if trivial:
        named = "; ".join(f"{title}: {name}" for title, name in trivial.items())
        lines.append(f"A trivial row, without a model, is as high as the best method. {named}.")
    if content.failures:
        lines.append(f"{count(len(content.failures), 'job')} failed; rows are of those that were done.")
    if any(is_oracle(metric, heading) for metric, heading in content.metrics.items()):
        lines.append("What is called oracle used the labels of the very images it is of, and promises too much.")
    if sum(row.kind in LEARNED for section in content.sections[:1] for row in section.rows) > 1:
        lines.append("The best of many rows is partly luck: it promises more than new images will show.")
    return list(dict.fromkeys([*lines, *content.notes]))


def table_note(content: StudyContent, section: StudySection) -> str:
    """How the numbers of a section's table came about, in sentences; only of what is there."""
    cells = [cell for row in section.rows for cell in row.cells.values()]
    compared = [row.comparison for row in section.rows if row.comparison is not None]
    sentences = []
    if any(cell.low is not None for cell in cells):
        sentences.append(f"Intervals: 95%, by bootstrap over {section.resampled}, of the mean over seeds and folds.")
    if any(cell.deviation is not None for cell in cells):
        sentences.append("±: standard deviation over seeds and folds.")
    if any(cell.published for cell in cells):
        sentences.append("Paper: the paper's own number.")
    if compared:
        sentences.append(
            f"Difference: with the reference, “{content.reference}”, in {content.metrics[content.main_metric]}."
        )
    if any(comparison.p_adjusted is not None for comparison in compared):
        sentences.append(f"p: two-sided, paired bootstrap over {section.resampled}, adjusted after Holm.")
    if any(comparison.delong_p_adjusted is not None for comparison in compared):
        sentences.append("DeLong: the p of DeLong's test, adjusted likewise.")
    if any(row.rank is not None for row in section.rows):
        sentences.append("Rank: mean over seeds and folds; 1 is the best.")
    if any(value_of(row, content.main_metric) is not None for row in section.rows):
        sentences.append(f"In bold: the highest {content.metrics[content.main_metric]}.")
    return " ".join(sentences)


def overall_note(content: StudyContent) -> str:
    """How the ranks over collections are to be read."""
    overall = content.overall
    assert overall is not None
    sentences = [f"Mean rank: over {count(overall.blocks, 'collection')}, 1 is the best."]
    if overall.friedman_p is not None:
        sentences.append(f"Friedman's test of equal ranks: p {p_text(overall.friedman_p)}.")
    if overall.critical_difference is not None:
        sentences.append(f"Critical difference of two mean ranks (Nemenyi): {overall.critical_difference:.2f}.")
    else:
        sentences.append("There are too few collections or rows to test ranks.")
    return " ".join(sentences)


def _stand_ins(content: StudyContent) -> dict[str, list[str]]:
    """What is said of stand-ins, with the collections that it is said of."""
    titles: dict[str, list[str]] = {}
    for section in content.sections:
        if section.stand_in:
            titles.setdefault(section.stand_in, []).append(section.title)
    return titles


def _trivial_winner(section: StudySection, metric: str) -> str | None:
    """The best trivial row where no method is higher."""
    best, trivial = best_method(section, metric), best_row(section, metric, "trivial")
    if best is None or trivial is None:
        return None
    own, other = value_of(best, metric), value_of(trivial, metric)
    return trivial.name if own is not None and other is not None and other >= own else None
