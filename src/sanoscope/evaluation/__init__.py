"""How good scores and decisions are: metrics with intervals, per image, subject and pixel, and their tables."""

from sanoscope.evaluation.curves import PrecisionRecallCurve, RocCurve, precision_recall, roc
from sanoscope.evaluation.evaluate import evaluate, evaluate_subjects
from sanoscope.evaluation.metrics import METRIC_LABELS
from sanoscope.evaluation.pixel_results import (
    OPERATING_POINT,
    PIXEL_DECISION_LABELS,
    PIXEL_METRIC_LABELS,
    PixelDecision,
    PixelEvaluation,
)
from sanoscope.evaluation.pixel_samples import PixelSample
from sanoscope.evaluation.pixel_tables import (
    PixelRow,
    pixel_decisions_table,
    pixel_results_table,
    pixel_table_notes,
)
from sanoscope.evaluation.pixels import evaluate_pixels
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
    "OPERATING_POINT",
    "PIXEL_DECISION_LABELS",
    "PIXEL_METRIC_LABELS",
    "Estimate",
    "Evaluation",
    "PixelDecision",
    "PixelEvaluation",
    "PixelRow",
    "PixelSample",
    "PrecisionRecallCurve",
    "ResultRow",
    "RocCurve",
    "aggregate_subjects",
    "all_positive_row",
    "balance",
    "evaluate",
    "evaluate_pixels",
    "evaluate_subjects",
    "format_markdown_table",
    "format_text_table",
    "pixel_decisions_table",
    "pixel_results_table",
    "pixel_table_notes",
    "precision_recall",
    "results_table",
    "roc",
    "table_notes",
]
