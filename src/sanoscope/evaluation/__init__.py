"""How good scores and decisions are: metrics with intervals, comparisons of methods, and tables."""

from sanoscope.evaluation.comparison import Difference, JudgedImages, delong, holm, paired_difference
from sanoscope.evaluation.curves import PrecisionRecallCurve, RocCurve, precision_recall, roc
from sanoscope.evaluation.evaluate import evaluate, evaluate_subjects, evaluate_with_draws, mean_with_draws
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
from sanoscope.evaluation.pixels import evaluate_pixels, evaluate_pixels_with_draws
from sanoscope.evaluation.ranks import critical_difference, friedman, mean_ranks
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
    "Difference",
    "Estimate",
    "Evaluation",
    "JudgedImages",
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
    "critical_difference",
    "delong",
    "evaluate",
    "evaluate_pixels",
    "evaluate_pixels_with_draws",
    "evaluate_subjects",
    "evaluate_with_draws",
    "format_markdown_table",
    "format_text_table",
    "friedman",
    "holm",
    "mean_ranks",
    "mean_with_draws",
    "paired_difference",
    "pixel_decisions_table",
    "pixel_results_table",
    "pixel_table_notes",
    "precision_recall",
    "results_table",
    "roc",
    "table_notes",
]
