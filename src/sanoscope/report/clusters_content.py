"""What a page of clusters shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sanoscope.clustering.number import NumberChoice
from sanoscope.clustering.projection import Projection


@dataclass(frozen=True)
class Patch:
    """A picture of one image.

    Attributes:
        pixels: ``(H, W, 3)`` uint8.
        name: Of the image.
        subject: None where unknown.
        class_name: What it is labelled as; None where unknown.
    """

    pixels: np.ndarray
    name: str
    subject: str | None = None
    class_name: str | None = None


@dataclass(frozen=True)
class ClusterCard:
    """One cluster.

    Attributes:
        number: From 0.
        size: How many images it has.
        classes: How many of each class, in the order of the classes; empty where no class is known.
        subjects: How many of each subject, the most frequent first.
        facts: What else can be said of its images, by what it is.
        central: Images nearest to its centre.
        marginal: Images hardly nearer to it than to another.
    """

    number: int
    size: int
    classes: Mapping[str, int]
    subjects: Mapping[str, int]
    facts: Mapping[str, str]
    central: Sequence[Patch]
    marginal: Sequence[Patch]


@dataclass(frozen=True)
class Value:
    """A number of a table.

    Attributes:
        mean: The number, or a mean over folds.
        deviation: Standard deviation over folds.
        low: Lower end of its interval.
        high: Upper end.
        oracle: Whether it took labels of the very images it is of.
    """

    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    oracle: bool = False


@dataclass(frozen=True)
class MatchRow:
    """One row of a table of how well clusters match classes.

    Attributes:
        title: Of the row.
        kind: ``"clusters"``, ``"supervised"`` or ``"trivial"``.
        values: By the key of the column; None, or nothing, where there is none.
        method: Whether it is what the page is about.
    """

    title: str
    kind: str
    values: Mapping[str, Value | None]
    method: bool = False


@dataclass(frozen=True)
class MatchTable:
    """How well clusters match classes.

    Attributes:
        title: Of the table.
        metrics: Headings of columns by their keys.
        rows: In order.
        notes: What a reader of it should know.
    """

    title: str
    metrics: Mapping[str, str]
    rows: Sequence[MatchRow]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class ClustersContent:
    """All of the page.

    Attributes:
        title: Of the page.
        recipe: ``Recipe.to_json``, or as much of it as there is.
        explanation: What clusters and their pictures are, in some sentences.
        assigned: The cluster of each image, ``(N,)``.
        classes: The class of each image; None where unknown.
        subjects: The subject of each image; None where unknown.
        clusters: In the order of their numbers.
        silhouette: The mean of all images; None where all are in one cluster.
        projections: Images as points in a plane.
        choice: How many clusters there may be.
        tables: How well they match classes.
        facts: Data, settings, versions.
        notes: What a reader should know.
        unreadable: File and reason of each image that could not be read.
    """

    title: str
    recipe: Mapping[str, Any]
    explanation: str
    assigned: np.ndarray
    classes: Sequence[str | None]
    subjects: Sequence[str | None]
    clusters: Sequence[ClusterCard]
    silhouette: float | None = None
    projections: Sequence[Projection] = ()
    choice: NumberChoice | None = None
    tables: Sequence[MatchTable] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    unreadable: Sequence[tuple[str, str]] = ()
