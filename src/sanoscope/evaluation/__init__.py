"""How good scores and decisions are: metrics with intervals, per image and per subject, and their tables."""

from sanoscope.evaluation.curves import PrecisionRecallCurve, RocCurve, precision_recall, roc
from sanoscope.evaluation.evaluate import evaluate, evaluate_subjects
from sanoscope.evaluation.metrics import METRIC_LABELS
from sanoscope.evaluation.results import Estimate, Evaluation
from sanoscope.evaluation.sets import aggregate_subjects, balance
from sanoscope.evaluation.tables import (
    ResultRow,
    all_positive_row,
    format_markdown_table,
    format_text_table,
    results_table,
    table_notes,
)

__all__ = [
    "METRIC_LABELS",
    "Estimate",
    "Evaluation",
    "PrecisionRecallCurve",
    "ResultRow",
    "RocCurve",
    "aggregate_subjects",
    "all_positive_row",
    "balance",
    "evaluate",
    "evaluate_subjects",
    "format_markdown_table",
    "format_text_table",
    "precision_recall",
    "results_table",
    "roc",
    "table_notes",
]
