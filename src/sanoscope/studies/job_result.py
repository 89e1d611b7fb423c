"""What one job gives: the metrics of each of its rows, with what is needed to compare it with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

# Digits of metrics that are kept for the bootstrap: far less than an interval's width.
DIGITS = 5


@dataclass(frozen=True)
class RowResult:
    """One row in one fold with one seed.

    Attributes:
        name: Of a trivial row; None of a row of the method, which is called as the study calls it.
        reading: What of the model it is; None of the model as it was trained.
        kind: ``"method"``, ``"supervised"`` or ``"trivial"``.
        values: Each metric; None where it is not defined.
        draws: Each metric on the resamples of the test side, ``(R,)``; None or NaN where it is not defined.
        scores: Of the test images, for the test of areas under ROC curves; None where images are not scored.
        milliseconds: For each image scored; None where it was not measured.
    """

    name: str | None
    reading: str | None
    kind: str
    values: Mapping[str, float | None]
    draws: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[float] | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class JobResult:
    """All rows of a job, and how it was carried out.

    Attributes:
        rows: Those of the method first, then the trivial ones.
        images: Names of the test images that were evaluated, as a digest: equal ones can be compared in pairs.
        labels: Of the test images where images are scored, 0 or 1.
        subjects: Likewise; None where unknown.
        resampled: What the bootstrap drew, such as ``"16 subjects"``.
        sides: How many images of each side, in words.
        parameters: Of the network in training; None where there is none.
        training_seconds: Of the training alone; None where nothing is trained.
        seconds: From the first file to the last metric.
        changed: Options that differ from the recipe's defaults, by dotted name.
        notes: What a reader should know.
        environment: Versions and machine.
    """

    rows: tuple[RowResult, ...]
    images: str
    resampled: str
    sides: str
    seconds: float
    labels: Sequence[int] | None = None
    subjects: Sequence[str | None] | None = None
    parameters: int | None = None
    training_seconds: float | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobResult:
        """The result that ``to_json`` described."""
        # As arrays, as a study has thousands of draws of hundreds of rows.
        rows = tuple(
            RowResult(**{**row, "draws": {name: np.array(draws, np.float32) for name, draws in row["draws"].items()}})
            for row in stored["rows"]
        )
        return cls(**{**stored, "rows": rows, "notes": tuple(stored["notes"])})


def rounded(draws: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Draws as plain numbers, None for NaN."""
    return {
        name: [None if np.isnan(value) else round(float(value), DIGITS) for value in values]
        for name, values in draws.items()
        if not np.isnan(values).all()
    }
