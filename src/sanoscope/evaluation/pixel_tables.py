"""Results of pixels as rows and tables of text, for ``format_text_table`` and ``format_markdown_table``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sanoscope.evaluation.pixel_results import (
    PIXEL_DECISION_LABELS,
    PIXEL_METRIC_LABELS,
    PixelDecision,
    PixelEvaluation,
)
from sanoscope.evaluation.results import Estimate
from sanoscope.evaluation.tables import cell_text


@dataclass(frozen=True)
class PixelRow:
    """One line of a table of pixel metrics.

    Attributes:
        name: Of the method or map.
        kind: ``"method"``, ``"other map"`` of the same model, or ``"trivial"``: a baseline without a model.
        evaluation: Its numbers.
    """

    name: str
    kind: str
    evaluation: PixelEvaluation

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PixelRow:
        """The row that ``to_json`` described."""
        return cls(**(stored | {"evaluation": PixelEvaluation.from_json(stored["evaluation"])}))


def pixel_results_table(rows: Sequence[PixelRow]) -> list[list[str]]:
    """Metrics without a given threshold, a line for each row under a line of headings.

    Columns that used labels of the evaluated data say oracle. A metric that is not defined gives its reason.

    Args:
        rows: Kept in their order.
    """
    return [["Method", "Kind", *PIXEL_METRIC_LABELS.values()]] + [
        [row.name, row.kind, *(cell_text(name, row.evaluation.estimates[name]) for name in PIXEL_METRIC_LABELS)]
        for row in rows
    ]


def pixel_decisions_table(rows: Sequence[PixelRow]) -> list[list[str]]:
    """What thresholds decide, a line for each row and threshold under a line of headings.

    A threshold that used labels of the evaluated data says oracle.

    Args:
        rows: Kept in their order, each with the thresholds of its own evaluation.
    """
    columns = [name for name in PIXEL_DECISION_LABELS if name != "dice_per_subject_sd"]
    headings = ["Method", "Kind", "Threshold", *(PIXEL_DECISION_LABELS[name] for name in columns)]
    return [headings] + [
        [
            row.name,
            row.kind,
            _threshold_cell(name, decision),
            *_decision_cells(columns, decision, row.evaluation.n_lesions),
        ]
        for row in rows
        for name, decision in row.evaluation.decisions.items()
    ]


def pixel_table_notes(rows: Sequence[PixelRow]) -> list[str]:
    """The notes of all rows' evaluations, each once, to stand under the table."""
    return list(dict.fromkeys(note for row in rows for note in row.evaluation.notes))


def _threshold_cell(name: str, decision: PixelDecision) -> str:
    return name if decision.threshold is None else f"{name}: {decision.threshold:.4g}"


def _decision_cells(columns: Sequence[str], decision: PixelDecision, n_lesions: int) -> list[str]:
    cells = {name: cell_text(name, decision.estimates[name]) for name in columns}
    cells["dice_per_subject"] = _with_spread(cells["dice_per_subject"], decision.estimates["dice_per_subject_sd"])
    if decision.estimates["lesion_sensitivity"].value is not None:
        cells["lesion_sensitivity"] += f" of {n_lesions}"
    return list(cells.values())


def _with_spread(mean: str, spread: Estimate) -> str:
    """``"0.582 ± 0.238 [0.51, 0.65]"``."""
    if spread.value is None:
        return mean
    value, _, interval = mean.partition(" ")
    return f"{value} ± {spread.value:.3f} {interval}".rstrip()
