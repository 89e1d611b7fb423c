"""Results as rows and tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sanoscope.decision.checks import Labels
from sanoscope.evaluation.evaluate import evaluate, evaluate_subjects
from sanoscope.evaluation.metrics import COUNTS, METRIC_LABELS
from sanoscope.evaluation.results import Estimate, Evaluation

TABLE_METRICS = ("auroc", "average_precision", "accuracy", "f1", "sensitivity", "specificity")


@dataclass(frozen=True)
class ResultRow:
    """One line of a results table.

    Attributes:
        name: Of the method or score.
        kind: ``"method"``, ``"other score"`` of the same model, or ``"trivial"``: a baseline without a model.
        evaluation: Its numbers.
        threshold: What its decisions used, in its score's own unit; None without decisions or a threshold.
        oracle: Whether labels of the evaluated data were used, as for a threshold that was fitted on them.
    """

    name: str
    kind: str
    evaluation: Evaluation
    threshold: float | None = None
    oracle: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ResultRow:
        """The row that ``to_json`` described."""
        return cls(**(stored | {"evaluation": Evaluation.from_json(stored["evaluation"])}))


def all_positive_row(
    labels: Labels,
    subjects: Sequence[str | None] | None = None,
    how: str | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> ResultRow:
    """The trivial row of calling everything abnormal, with the same score for all.

    Its AUROC is 0.5, its average precision and accuracy the prevalence p, its F1 ``2p / (1 + p)``.

    Args:
        labels: ``(N,)``, as for ``evaluate``.
        subjects: ``(N,)``, as for ``evaluate``.
        how: None for each image by itself, or how ``evaluate_subjects`` gathers them.
        resamples: As for ``evaluate``.
        level: As for ``evaluate``.
        seed: As for ``evaluate``.

    Raises:
        DataError: As ``evaluate``; or ``how`` is given and no subject is known.
    """
    scores = np.ones(len(labels))
    if how is None:
        everything = np.ones(len(labels), dtype=bool)
        evaluation = evaluate(labels, scores, everything, subjects, resamples=resamples, level=level, seed=seed)
    else:
        unknown = [None] * len(labels) if subjects is None else subjects
        evaluation = evaluate_subjects(
            labels, scores, unknown, how, threshold=0.0, resamples=resamples, level=level, seed=seed
        )
    return ResultRow("predict all abnormal", "trivial", evaluation)


def results_table(rows: Sequence[ResultRow], metrics: Sequence[str] = TABLE_METRICS) -> list[list[str]]:
    """The rows as text, a line of headings first: name, kind, then ``"0.712 [0.65, 0.77]"`` for each metric.

    An oracle row says so after its name. A metric that is not defined gives its reason.

    Args:
        rows: Kept in their order.
        metrics: Keys of ``METRIC_LABELS``.
    """
    headings = ["Method", "Kind", *(METRIC_LABELS[metric] for metric in metrics)]
    return [headings] + [
        [
            row.name + (" (oracle)" if row.oracle else ""),
            row.kind,
            *(cell_text(metric, row.evaluation.estimates.get(metric)) for metric in metrics),
        ]
        for row in rows
    ]


def table_notes(rows: Sequence[ResultRow]) -> list[str]:
    """The notes of all rows' evaluations, each once, to stand under the table."""
    return list(dict.fromkeys(note for row in rows for note in row.evaluation.notes))


def format_text_table(table: Sequence[Sequence[str]]) -> str:
    """A table for a terminal or log: columns aligned, a rule under the headings.

    Args:
        table: Lines of equally many cells, the headings first.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    heading, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )
    return "\n".join([heading, "  ".join("-" * width for width in widths), *lines])


def format_markdown_table(table: Sequence[Sequence[str]]) -> str:
    """The same table in GitHub's Markdown.

    Args:
        table: Lines of equally many cells, the headings first.
    """
    heading, *lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in table)
    return "\n".join([heading, "|" + " --- |" * len(table[0]), *lines])


def cell_text(metric: str, estimate: Estimate | None) -> str:
    """One estimate as text; a dash where it was not computed."""
    if estimate is None:
        return "–"
    if estimate.value is None:
        return f"– ({estimate.reason})"
    if metric in COUNTS:
        return f"{estimate.value:.0f}"
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.3f}{interval}"
