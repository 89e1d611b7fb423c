"""What a page shows of groups: each cluster with its images, where they lie, how many there may be, what they match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sanoscope.clustering.agreement import METRIC_LABELS, classification
from sanoscope.clustering.members import central, marginal
from sanoscope.clustering.number import NumberChoice
from sanoscope.clustering.projection import Projection
from sanoscope.report.clusters_content import ClusterCard, ClustersContent, MatchRow, MatchTable, Value
from sanoscope.subtypes.groups import Groups
from sanoscope.subtypes.pictures import patch_of

# Images of each kind that are shown of a cluster: full rows on wide and narrow pages.
SHOWN = 12
# Metrics that a map from clusters to classes enters, which is made of the same labels.
_BY_MAP = ("accuracy", "f1")
# Clusters that agree less with subjects than this follow neither them nor classes.
_FOLLOWED = 0.1
EXPLANATION = (
    "Images are grouped by how near their latents are, without any label. Central images are the nearest to the "
    "centre of their cluster and show what it is; marginal ones are hardly nearer to it than to another, and show "
    "where it ends."
)


def groups_content(
    groups: Groups,
    title: str,
    method: Mapping[str, Any],
    projections: Sequence[Projection] = (),
    choice: NumberChoice | None = None,
    tables: Sequence[MatchTable] = (),
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> ClustersContent:
    """What is shown.

    Args:
        groups: The cases in their clusters.
        title: Of the page.
        method: ``Recipe.to_json``, or as much of it as there is.
        projections: For plots.
        choice: How many clusters there may be.
        tables: How well clusters match classes, beside the table of these very cases.
        facts: Data, settings, versions.
        notes: What a reader should know, beside what follows from the groups.
    """
    own = [match_table(groups)] if groups.has_classes else []
    names, labels = groups.classes
    return ClustersContent(
        title=title,
        recipe=method,
        explanation=EXPLANATION,
        assigned=groups.assigned,
        classes=[None if code < 0 else names[code] for code in labels],
        subjects=groups.cases.subjects,
        clusters=list(_cards(groups)),
        silhouette=groups.silhouette,
        projections=projections,
        choice=choice,
        tables=[*own, *tables],
        facts=facts or {},
        notes=[*notes, *notes_of(groups)],
        unreadable=groups.unreadable,
    )


def match_table(groups: Groups) -> MatchTable:
    """How well the clusters match the labels of the same cases, which named them: oracles, as far as names matter."""
    found = groups.match()
    values = {
        metric: None if value is None else Value(value, oracle=metric in _BY_MAP) for metric, value in found.items()
    }
    return MatchTable(
        "These clusters and the labels of these images",
        METRIC_LABELS,
        [MatchRow("these clusters", "clusters", values, method=True), *_trivial_rows(groups)],
        ["Accuracy and F1 take each cluster for the class that fits best, one to one, by the labels of these images."],
    )


def _trivial_rows(groups: Groups) -> Iterator[MatchRow]:
    names, labels = groups.classes
    known = labels[labels >= 0]
    for code, name in enumerate(names):
        values = classification(known, np.full(len(known), code), len(names))
        row = {metric: None if value is None else Value(value) for metric, value in values.items()}
        yield MatchRow(f"always {name}", "trivial", row)


def notes_of(groups: Groups) -> list[str]:
    """What the groups themselves have to say: whose images they are, and what they follow."""
    notes = []
    if groups.has_classes:
        known = int((groups.classes[1] >= 0).sum())
        notes.append(f"No label took part in finding the clusters; {known:,} images with labels judge them afterwards.")
        classes, subjects = groups.match()["adjusted_rand"], groups.match_with_subjects()["adjusted_rand"]
        if classes is not None and subjects is not None and subjects > max(classes, _FOLLOWED):
            notes.append(
                f"The clusters follow the subjects (adjusted Rand index {subjects:.3f}) more than the classes "
                f"({classes:.3f}): staining and scanner may be what they tell apart."
            )
    if any(subject is None for subject in groups.cases.subjects):
        notes.append("Of some images the subject is not known, so it cannot be told whether clusters are subjects.")
    return notes


def _cards(groups: Groups) -> Iterator[ClusterCard]:
    names, labels = groups.classes
    shown = {
        "central": central(groups.distances, groups.assigned, SHOWN),
        "marginal": marginal(groups.distances, groups.assigned, SHOWN),
    }
    colours = _mean_colours(groups)
    for number in range(groups.number):
        members = np.flatnonzero(groups.assigned == number)
        counted = {name: int((labels[members] == code).sum()) for code, name in [*enumerate(names), (-1, "unlabelled")]}
        subjects = Counter(groups.cases[i].subject or "unknown" for i in members)
        yield ClusterCard(
            number=number,
            size=len(members),
            classes={name: count for name, count in counted.items() if count} if names else {},
            subjects=dict(subjects.most_common()),
            facts=_facts(colours, members),
            **{kind: [patch_of(groups.cases[i]) for i in rows[number]] for kind, rows in shown.items()},
        )


def _mean_colours(groups: Groups) -> np.ndarray:
    """Of each case the mean of each channel as stored, ``(N, C)``."""
    rows = np.array_split(np.arange(len(groups.pictures)), max(len(groups.pictures) // 256, 1))
    return np.concatenate([groups.pictures.batch(some)[0].mean((1, 2), dtype=np.float64) for some in rows])


def _facts(colours: np.ndarray, members: np.ndarray) -> dict[str, str]:
    """What can be said of a cluster without a network: how bright its images are, or their mean colour."""
    if not len(members):
        return {}
    here, everywhere = (", ".join(f"{value:.4g}" for value in some.mean(0)) for some in (colours[members], colours))
    name = "mean colour (red, green, blue)" if colours.shape[1] == 3 else "mean intensity"
    return {name: f"{here}; of all images {everywhere}"}
