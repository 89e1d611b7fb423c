"""What the tests allow to say of a study's result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sanoscope.report.study_content import StudyContent, StudyRow, StudySection
from sanoscope.report.study_numbers import LEARNED, best_method, best_row, metric_text, p_text, value_of, value_text
from sanoscope.report.summary import count

# Two rows are told apart where the p-value after Holm is below this.
SIGNIFICANT = 0.05


def told_apart(reference: str, first: StudyRow, second: StudyRow) -> bool | None:
    """Whether the tests tell two rows apart; None where no test says.

    All tests are with the reference. Two other rows differ where one is above it and the other below.
    """
    if reference in (first.name, second.name):
        other = second if first.name == reference else first
        side = _side(other)
        return None if side is None else side != 0
    return True if _side(first) and _side(second) and _side(first) != _side(second) else None


def verdict(content: StudyContent) -> str:
    """The result, and what the tests allow to say of it."""
    main = content.main_metric
    if not any(value_of(row, main) is not None for section in content.sections for row in section.rows):
        done, of = content.jobs
        return f"There is no result: {done:,} of {count(of, 'job')} were done, and no row has a value."
    if len(content.sections) == 1:
        return " ".join(_of_section(content, content.sections[0]))
    ranked = _ranked(content)
    return " ".join(_of_ranks(content, ranked) if ranked else _of_sections(content))


def best_of_all(content: StudyContent) -> str:
    """The best row in a few words, for a list of studies; a dash where there is none."""
    main = content.main_metric
    if len(content.sections) > 1:
        ranked = _ranked(content)
        return f"{ranked[0][0]}, mean rank {ranked[0][2]:.1f}" if ranked else "–"
    best = next((row for section in content.sections if (row := best_method(section, main)) is not None), None)
    return "–" if best is None else f"{best.name}, {content.metrics[main]} {value_text(main, best.cells[main])}"


def _side(row: StudyRow) -> int | None:
    """Above (1) or below (-1) the reference, or not told apart from it (0); None without a test."""
    if row.comparison is None or row.comparison.p_adjusted is None:
        return None
    if row.comparison.p_adjusted >= SIGNIFICANT:
        return 0
    return 1 if row.comparison.difference > 0 else -1


def _of_section(content: StudyContent, section: StudySection) -> Iterator[str]:
    main, heading = content.main_metric, content.metrics[content.main_metric]
    best = best_method(section, main)
    if best is None:
        yield "No method has a value, only trivial rows."
        return
    rivals = [row for row in section.rows if row.kind == best.kind and value_of(row, main) is not None]
    value = value_text(main, best.cells[main])
    if len(rivals) > 1:
        yield f"{best.name} has the highest {heading} of {len(rivals)} rows, {value}."
    else:
        yield f"{best.name} has {heading} {value}."
    reference = next((row for row in section.rows if row.name == content.reference), None)
    if reference is not None and best.name != content.reference:
        yield _compared(content, best, reference, "the reference")
    trivial = best_row(section, main, "trivial")
    if trivial is not None and trivial.name != content.reference:
        yield _compared(content, best, trivial, "the best trivial row")
    supervised = best_row(section, main, "supervised")
    if supervised is not None and best.kind == "method":
        yield f"{supervised.name}, which learned from labels, has {value_text(main, supervised.cells[main])}."


def _compared(content: StudyContent, best: StudyRow, other: StudyRow, what: str) -> str:
    main = content.main_metric
    own, value = value_of(best, main), value_of(other, main)
    if value is None or own is None:
        return f"It cannot be compared with {what}, {other.name}, which has no value."
    named = f"{what}, {other.name} ({metric_text(main, value)})"
    apart = told_apart(content.reference, best, other)
    where = "higher than" if own > value else "lower than" if own < value else "equal to"
    if apart:
        return f"It is {where} {named}: {_evidence(content.reference, best, other)}."
    if apart is None:
        return f"It is {where} {named}, but no test compares the two."
    return f"It is not told apart from {named}: {_evidence(content.reference, best, other)}."


def _evidence(reference: str, first: StudyRow, second: StudyRow) -> str:
    tested = [row for row in (first, second) if row.name != reference]
    largest = max(row.comparison.p_adjusted for row in tested)  # type: ignore[union-attr, type-var]
    between = f", as the reference, {reference}, lies between the two" if len(tested) > 1 else ""
    return f"adjusted p {p_text(largest)}{between}"  # type: ignore[arg-type]


def _ranked(content: StudyContent) -> list[tuple[str, str, float]]:
    """Name, kind and mean rank of the methods over collections, the best first."""
    rows = content.overall.rows if content.overall else ()
    ranks = [(name, kind, rank) for name, kind, _, rank in rows if rank is not None and kind in LEARNED]
    return sorted(ranks, key=lambda row: (row[1] != "method", row[2]))


def _of_ranks(content: StudyContent, ranked: Sequence[tuple[str, str, float]]) -> Iterator[str]:
    overall = content.overall
    assert overall is not None
    (best, kind, rank), *_ = ranked
    rivals = count(sum(row[1] == kind for row in ranked), "row")
    yield f"{best} has the best mean rank of {rivals}, {rank:.1f} over {count(overall.blocks, 'collection')}."
    if kind == "method" and (supervised := [row for row in ranked if row[1] == "supervised"]):
        yield f"{supervised[0][0]}, which learned from labels, has {supervised[0][2]:.1f}."
    ranks = {name: (of_kind, other) for name, of_kind, _, other in overall.rows if other is not None}
    others = {"the reference": content.reference} if content.reference in ranks else {}
    trivial = [name for name, (of_kind, _) in ranks.items() if of_kind == "trivial"]
    if trivial:
        others["the best trivial row"] = min(trivial, key=lambda name: ranks[name][1])
    phrases = {what: name for what, name in others.items() if name != best}
    if overall.critical_difference is None or overall.friedman_p is None:
        if phrases:
            yield "There are too few collections or rows to test ranks; each collection has tests of its own."
        return
    for what, name in phrases.items():
        difference = abs(ranks[name][1] - rank)
        apart = overall.friedman_p < SIGNIFICANT and difference >= overall.critical_difference
        where = "higher" if ranks[name][1] > rank else "lower"
        verb = f"It ranks {where} than" if apart else "It is not told apart from"
        yield f"{verb} {what}, {name} ({ranks[name][1]:.1f})."
    yield (
        f"Friedman's test: p {p_text(overall.friedman_p)}; critical difference of mean ranks "
        f"{overall.critical_difference:.2f}."
    )


def _of_sections(content: StudyContent) -> Iterator[str]:
    """How often which row is the best, where there are no ranks over collections."""
    main = content.main_metric
    best = Counter(row.name for section in content.sections if (row := best_method(section, main)) is not None)
    heading, sections = content.metrics[main], count(len(content.sections), "collection")
    named = [f"{name} on {number}" for name, number in best.most_common()]
    yield f"Highest {heading} of {sections}: {_listed(named)}." if named else "No method has a value."
    yield "Each collection has tests of its own; none is over all of them."


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
