"""The numbers of a study as text, and the best of its rows."""

from __future__ import annotations

from sanoscope.report.study_content import StudyCell, StudyRow, StudySection

# Kinds of rows that have a model.
LEARNED = ("method", "supervised")
# Metrics in units of their own; all others lie between 0 and 1, or -1 and 1.
_LARGE = ("reconstruction", "kl")
# What the names of rows end with that chose by the labels that they are judged by.
ORACLE = "(oracle)"


def is_oracle(metric: str, heading: str) -> bool:
    """Whether a metric used labels of the evaluated images."""
    return metric.startswith("oracle_") or "oracle" in heading.lower()


def metric_text(metric: str, value: float) -> str:
    """A metric with the digits that suit it: ``"0.873"``, ``"472.2"``; a true minus sign."""
    return f"{value:.{1 if metric in _LARGE else 3}f}".replace("-", "−")


def interval_text(metric: str, low: float | None, high: float | None) -> str:
    """``"[0.831, 0.902]"``, or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{metric_text(metric, low)}, {metric_text(metric, high)}]"


def p_text(p: float) -> str:
    """``"0.012"``; below what three digits show, ``"< 0.001"``."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def value_text(metric: str, cell: StudyCell) -> str:
    """A value with its interval: ``"0.873 [0.831, 0.902]"``."""
    assert cell.value is not None
    return f"{metric_text(metric, cell.value)} {interval_text(metric, cell.low, cell.high)}".rstrip()


def value_of(row: StudyRow, metric: str) -> float | None:
    """The row's value of a metric; None where there is none."""
    cell = row.cells.get(metric)
    return None if cell is None else cell.value


def best_row(section: StudySection, metric: str, *kinds: str) -> StudyRow | None:
    """The row of some kinds with the highest value; the first of equal ones, None where none has a value.

    What chose by the very labels that it is judged by is no result.
    """
    known = [row for row in section.rows if row.kind in kinds and not row.name.endswith(ORACLE)]
    valued = [(value, row) for row in known if (value := value_of(row, metric)) is not None]
    return max(valued, key=lambda pair: pair[0], default=(0.0, None))[1]


def best_method(section: StudySection, metric: str) -> StudyRow | None:
    """The best that learned without labels; where nothing did, the best that learned with them."""
    return best_row(section, metric, "method") or best_row(section, metric, "supervised")
