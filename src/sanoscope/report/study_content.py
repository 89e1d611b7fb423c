"""What the page of a study shows, as plain values that can be kept as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class _Values:
    """What is equal after a way through JSON: sequences are kept as tuples, mappings as dictionaries."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))


@dataclass(frozen=True)
class StudyCell(_Values):
    """One metric of one row.

    Attributes:
        value: Mean over seeds and folds; None where there is none.
        deviation: Standard deviation over seeds and folds; None of a single one.
        low: Lower end of the 95% interval, by bootstrap over subjects of the mean over seeds and folds.
        high: Upper end.
        published: The paper's number as text, such as ``"0.860"`` or ``"93.4 ± 0.3"``.
        reason: Why there is no value.
    """

    value: float | None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    published: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class StudyComparison(_Values):
    """A row beside the reference of its study, in the main metric.

    Attributes:
        difference: The row's value less that of the reference.
        low: Lower end of its 95% interval, by paired bootstrap over subjects.
        high: Upper end.
        p: Two-sided, of no difference, by the same bootstrap.
        p_adjusted: The same after Holm, for all rows compared in the section.
        delong_p: By DeLong's test; AUROC of images only.
        delong_p_adjusted: The same after Holm.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    delong_p: float | None = None
    delong_p_adjusted: float | None = None


@dataclass(frozen=True)
class StudyRow(_Values):
    """A method, or one way to read its models, on one collection.

    Attributes:
        name: Of the row: the method's, and after a comma the reading's.
        method: The method's name.
        reading: Of the trained model; None for the method's own.
        kind: ``"method"``, ``"supervised"``, ``"trivial"``, or ``"published"`` for a row that only the paper has.
        cells: By the key of the metric.
        comparison: With the reference; None of the reference itself and where it cannot be made.
        rank: Mean over the section's folds and seeds; 1 is the best.
        parameters: How many the model has.
        training_seconds: Of one training, a mean.
        scoring_milliseconds: Of one image, a mean.
        jobs: How many jobs it is the mean of.
        failed: The reasons of those that failed.
    """

    name: str
    method: str
    reading: str | None
    kind: str
    cells: Mapping[str, StudyCell]
    comparison: StudyComparison | None
    rank: float | None
    parameters: int | None
    training_seconds: float | None
    scoring_milliseconds: float | None
    jobs: int
    failed: Sequence[str] = ()


@dataclass(frozen=True)
class StudySection(_Values):
    """One collection.

    Attributes:
        title: Its name.
        source: Where its images are from.
        stand_in: What says that this is not the paper's collection; None where it is, or where there is no paper.
        sides: What was trained and tested on, in words, such as ``"train 268 normal images of 20 subjects"``.
        rows: In the order of the study.
        notes: What a reader of the table should know.
        resampled: What the bootstrap draws, such as ``"16 subjects"`` or ``"600 images"``.
    """

    title: str
    source: str
    stand_in: str | None
    sides: str
    rows: Sequence[StudyRow]
    notes: Sequence[str]
    resampled: str


@dataclass(frozen=True)
class StudyOverall(_Values):
    """All collections together, in the main metric.

    Attributes:
        rows: Name, kind, mean of the main metric and mean rank over collections of each row.
        published: The paper's mean, by the name of the row.
        friedman_p: Of no difference between the ranks; None with too few rows or collections.
        critical_difference: Between two mean ranks, after Nemenyi; None with too few rows or collections.
        blocks: How many collections the ranks are the mean of.
    """

    rows: Sequence[tuple[str, str, float | None, float | None]]
    published: Mapping[str, str]
    friedman_p: float | None
    critical_difference: float | None
    blocks: int


@dataclass(frozen=True)
class StudyCurve(_Values):
    """A line over the number of known anomalies.

    Attributes:
        title: What it is of.
        x: Numbers of known anomalies, ``(P,)``, ascending.
        y: The main metric, ``(P,)``.
        low: Lower edge of its band, ``(P,)``.
        high: Upper edge, ``(P,)``.
    """

    title: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float | None]
    high: Sequence[float | None]


@dataclass(frozen=True)
class StudyContent(_Values):
    """All of the page.

    Attributes:
        name: Of the study, for files.
        title: Of the page.
        paper: Whose table it is; None where it is nobody's.
        measure: ``"images"``, ``"pixels"``, ``"clusters"`` or ``"selection"``.
        metrics: Headings by key; the first is the main one.
        reference: The row that the others are compared with.
        budget: How it is less than the full protocol, in words; None where it is not.
        protocol: Pairs of what was done: folds, seeds, split, resamples and the like.
        sections: One for each collection.
        overall: All collections together; None with one.
        curves: Of a study that chooses by known anomalies.
        pivot: Whether methods by readings are shown as a table of the main metric.
        changed: Options that differ from the recipe's defaults, by method.
        notes: What a reader should know.
        claims: The paper's, one sentence each.
        failures: Job and reason of each job that failed.
        jobs: How many jobs were done, and of how many.
        seconds: Of all jobs.
        environment: Versions and the machine.
    """

    name: str
    title: str
    paper: str | None
    measure: str
    metrics: Mapping[str, str]
    reference: str
    budget: str | None
    protocol: Sequence[tuple[str, str]]
    sections: Sequence[StudySection]
    overall: StudyOverall | None
    curves: Sequence[StudyCurve]
    pivot: bool
    changed: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]
    claims: Sequence[str]
    failures: Sequence[tuple[str, str]]
    jobs: tuple[int, int]
    seconds: float
    environment: Mapping[str, str]

    @property
    def main_metric(self) -> str:
        """The key of the metric that rows are tested and ranked by."""
        return next(iter(self.metrics))

    def to_json(self) -> dict[str, Any]:
        """All of it as values that ``json`` can write."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StudyContent:
        """The content that ``to_json`` gave."""
        overall = values["overall"]
        return cls(
            **{
                **values,
                "sections": [_section(section) for section in values["sections"]],
                "overall": None if overall is None else StudyOverall(**overall),
                "curves": [StudyCurve(**curve) for curve in values["curves"]],
            }
        )


def _section(values: Mapping[str, Any]) -> StudySection:
    return StudySection(**{**values, "rows": [_row(row) for row in values["rows"]]})


def _row(values: Mapping[str, Any]) -> StudyRow:
    comparison = values["comparison"]
    return StudyRow(
        **{
            **values,
            "cells": {key: StudyCell(**cell) for key, cell in values["cells"].items()},
            "comparison": None if comparison is None else StudyComparison(**comparison),
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(element) for key, element in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
