"""One collection in clusters: how many there may be, where images lie, and how clusters compare with others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sanoscope.cases.case import Cases
from sanoscope.clustering.agreement import METRIC_LABELS
from sanoscope.clustering.clusterer import Clustering, ClusterSettings
from sanoscope.clustering.number import NumberChoice, judge_numbers
from sanoscope.clustering.projection import Projection, project
from sanoscope.errors import DataError
from sanoscope.report.clusters_content import MatchRow, MatchTable, Value
from sanoscope.subtypes.encoders import Encoder
from sanoscope.subtypes.fold_table import CrossValidated, FoldMean
from sanoscope.subtypes.groups import Groups, assign_groups, encoded, grouped

# Numbers of clusters that are compared, up to this one, unless another is asked for.
LARGEST_NUMBER = 8
# The least values of metrics that do not end at 0; all end at 1. Of the adjusted Rand index: Chacón, Rastrojo (2023).
_LEAST = {"adjusted_rand": -0.5, "silhouette": -1.0}
POOLED = {"pooled accuracy": "accuracy", "pooled f1": "f1"}


@dataclass(frozen=True)
class Analysis:
    """Groups with what helps to judge them.

    Attributes:
        groups: The cases in their clusters.
        choice: How many clusters there may be; None where too few images differ to tell.
        projections: Points for plots.
    """

    groups: Groups
    choice: NumberChoice | None
    projections: Sequence[Projection]


def analyse(
    encoder: Encoder,
    cases: Cases,
    settings: ClusterSettings,
    numbers: Iterable[int] = range(2, LARGEST_NUMBER + 1),
    choose: bool = False,
    seed: int = 0,
) -> Analysis:
    """Group cases, compare numbers of clusters, and lay the images out in a plane.

    Args:
        encoder: Fitted.
        cases: What to group.
        settings: How clusters are found.
        numbers: Of clusters, that are compared.
        choose: Take the number that the comparison suggests, in place of the settings'.
        seed: Of what is drawn at random.

    Raises:
        DataError: If too few images can be read, or too few differ.
    """
    pictures, latents = encoded(encoder, cases)
    try:
        choice: NumberChoice | None = judge_numbers(latents, numbers, settings, seed)
    except DataError:  # too few images differ to tell, which is no matter where the number is given
        if choose:
            raise
        choice = None
    if choose and choice is not None:
        settings = replace(settings, clusters=choice.suggested)
    return Analysis(grouped(pictures, latents, settings, seed), choice, project(latents, seed))


def assign(encoder: Encoder, cases: Cases, clustering: Clustering, seed: int = 0) -> Analysis:
    """Put cases into clusters that were found before; for the errors see ``analyse``."""
    groups = assign_groups(encoder, cases, clustering, seed)
    return Analysis(groups, None, project(groups.latents, seed))


def fold_table(rows: Sequence[CrossValidated], method: str, by: str, seed: int = 0) -> MatchTable:
    """What a cross-validation gives, for a page.

    Args:
        rows: Of ``folds.cross_validate``.
        method: Name of the row that the page is about.
        by: What folds were made of, ``subject`` or ``image``.
        seed: Of the bootstrap.
    """
    folds = max(len(row.folds) + len(row.failures) for row in rows)
    oracles = {f"{name}_oracle": f"{METRIC_LABELS[name]}, oracle names" for name in ("accuracy", "f1")}
    pooled = {name: f"{METRIC_LABELS[metric]}, folds together" for name, metric in POOLED.items()}
    notes = [
        f"{folds} folds by {by}: clusters are found and named on the training side, and judged on the test side. "
        "Mean and standard deviation over folds, with the interval of the corrected resampled t-test (Nadeau, Bengio); "
        "of the folds together, with that of a bootstrap over subjects."
    ]
    if any(found.undefined for row in rows for metric in METRIC_LABELS if (found := row.value(metric)) is not None):
        notes.append(
            "A metric that a fold does not define, as F1 without abnormal images or agreement with a single class, is "
            "the mean of the other folds."
        )
    if by == "image":
        notes.append("Images of one subject are on both sides: figures are better than for a subject never seen.")
    notes += [f"{row.title}, fold {fold}: failed: {why}" for row in rows for fold, why in row.failures.items()]
    shown = [_match_row(row, [*METRIC_LABELS, *oracles], method, seed) for row in rows if row.folds]
    return MatchTable(f"Cross-validated, by {by}", {**METRIC_LABELS, **oracles, **pooled}, shown, notes)


def _match_row(row: CrossValidated, metrics: Sequence[str], method: str, seed: int) -> MatchRow:
    values = {metric: _value(metric, row.value(metric)) for metric in metrics}
    for name, metric in POOLED.items():
        found = row.pooled(metric, seed)
        values[name] = None if found.value is None else Value(found.value, None, found.low, found.high)
    return MatchRow(row.title, row.kind, values, method=row.name == method)


def _value(metric: str, found: FoldMean | None) -> Value | None:
    if found is None:
        return None
    # An interval by the t-distribution does not know where a metric ends.
    low = None if found.low is None else max(found.low, _LEAST.get(metric, 0.0))
    high = None if found.high is None else min(found.high, 1.0)
    return Value(found.mean, found.deviation, low, high, oracle=metric.endswith("_oracle"))
