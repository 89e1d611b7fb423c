"""The page of a search for settings as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from sanoscope.report.html import Drawing, page_environment
from sanoscope.report.search_content import Choices, SearchContent, TrialRow
from sanoscope.report.search_figures import agreement_figure, choice_figure, option_figure, search_figure
from sanoscope.report.summary import STANDING_NOTE, Tile, count
from sanoscope.report.svg import inline_svg

# Rows of a table on the page; the others are in the CSV file.
_MOST_ROWS = 50
_HONESTY = "No label of the test was used to choose a configuration."
_ORACLE = (
    "Test figures are shown afterwards, to see what the choice was worth, and are marked oracle: to choose by them "
    "would promise too much."
)


def render_search(content: SearchContent) -> str:
    """The page as text; the same content gives the same text."""
    search = list(_search_drawings(content))
    options = list(_option_drawings(content))
    choices = list(_choice_drawings(content.choices)) if content.choices else []
    present = {
        "best": ("The best configuration", content.ranked),
        "search": ("The search", search),
        "options": ("Values of the options", options),
        "ranking": ("Ranking", content.ranked),
        "unranked": ("Not complete", content.unranked),
        "sensitivity": ("How few known anomalies are enough", choices),
        "data": ("Data", content.facts),
    }
    environment = page_environment()
    environment.filters["duration"] = duration
    return environment.get_template("search.html").render(
        content=content,
        sections={name: title for name, (title, there) in present.items() if there},
        verdict=verdict(content),
        tiles=tiles(content),
        notes=notes(content),
        search=search,
        options=options,
        choices=choices,
        option_names=list(dict.fromkeys(name for row in content.rows for name in row.options)),
        tested=_is_tested(content),
        most_rows=_MOST_ROWS,
    )


def duration(seconds: float) -> str:
    """In the unit that suits it, such as ``"3.2 min"``."""
    for length, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def verdict(content: SearchContent) -> str:
    """The result in one sentence."""
    if not content.ranked:
        return f"No complete trial among {count(len(content.rows), 'trial')}: there is nothing to choose from yet."
    best = content.ranked[0]
    complete, folds = count(len(content.ranked), "complete trial"), count(len(best.fold_values), "fold")
    value = f"{content.criterion} {with_deviation(best)}, mean over {folds}"
    return f"Trial {best.number} ranks first of {complete}: {value}."


def with_deviation(row: TrialRow) -> str:
    """``"0.913 ± 0.021"``; without a deviation the value alone."""
    deviation = "" if row.deviation is None else f" ± {row.deviation:.2g}"
    return f"{row.value:.4g}{deviation}"


def tiles(content: SearchContent) -> list[Tile]:
    """The numbers to see first."""
    rows, ranked = content.rows, content.ranked
    states = Counter(row.state for row in rows)
    of_states = ", ".join(f"{number:,} {state}" for state, number in states.items())
    shown = [Tile("Trials", f"{len(rows):,}", [of_states or "none has begun"])]
    if ranked:
        best = ranked[0]
        details = [content.criterion, *([f"± {best.deviation:.2g} over folds"] if best.deviation is not None else [])]
        shown.append(Tile("Best value", f"{best.value:.4g}", details))
        if best.oracle is not None:
            shown.append(Tile("Its test AUROC", f"{best.oracle:.3f}", ["oracle: seen only after the choice"]))
        median = float(np.median([row.seconds for row in ranked]))
        shown.append(Tile("Time of a trial", duration(median), ["median of the complete trials"]))
    total = sum(row.seconds for row in rows)
    return [*shown, Tile("Time of all", duration(total), ["training and scoring, added up"])]


def notes(content: SearchContent) -> list[str]:
    """What a reader must know, each thing once."""
    lines = [STANDING_NOTE, f"{_HONESTY} {_ORACLE}" if _is_tested(content) else _HONESTY]
    if len(content.ranked) > 1:
        lines.append(
            "The best of many values is partly luck: that of the best trial promises more than new images will show."
        )
    return list(dict.fromkeys([*lines, *content.notes]))


def _is_tested(content: SearchContent) -> bool:
    return any(row.oracle is not None for row in content.rows)


def _search_drawings(content: SearchContent) -> Iterator[Drawing]:
    if not any(row.shown is not None for row in content.rows):
        return
    text = f"The {content.criterion} of each trial in the order of their beginning, and the best so far."
    hollow = "Hollow: the mean of the folds that were carried out. " if content.unranked else ""
    ring = "Within the ring: the best trial." if content.ranked else ""
    yield Drawing(inline_svg(search_figure(content), "search", text), "Trials in their order", hollow + ring)


def _option_drawings(content: SearchContent) -> Iterator[Drawing]:
    """One figure for each option that differs among trials with a value."""
    drawn = [row for row in content.rows if row.shown is not None]
    for number, name in enumerate(dict.fromkeys(name for row in drawn for name in row.options)):
        figure, key = option_figure(content, name)
        text = f"The {content.criterion} of each trial against the option {name}."
        caption = "; ".join(f"{short}: {value}" for short, value in key.items())
        yield Drawing(inline_svg(figure, f"option-{number}", text), name, caption)


def _choice_drawings(choices: Choices) -> Iterator[Drawing]:
    worth = "test AUROC" if choices.oracle else "AUROC on all known anomalies"
    text = f"Mean {worth} of the trial that is chosen by few known anomalies, over their number."
    caption = (
        f"Each point: {choices.repeats:,} random draws of so many known anomalies, each of which values all trials and "
        f"chooses the best; shown is the mean {worth} of the chosen ones. A line that is flat from some number on says "
        "that more known anomalies would not have chosen better."
    )
    yield Drawing(inline_svg(choice_figure(choices), "choices", text), "What the choice is worth", caption)
    text = "Share of the draws that choose the trial that all known anomalies choose, over the number drawn."
    yield Drawing(
        inline_svg(agreement_figure(choices), "agreement", text),
        "How often the same choice",
        "Share of the draws that choose the trial that all known anomalies choose.",
    )
