"""What an evaluation gives: estimates with intervals, and what they were made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """One metric with its interval.

    Attributes:
        value: The metric on all the data; None where it is not defined.
        low: Lower end of the interval; None for counts and where there is no interval.
        high: Upper end of the interval.
        reason: Why there is no value, such as ``"needs both classes"``.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """All metrics of one set of scores on one set of images or subjects.

    Attributes:
        level: What was judged: ``"image"``, or subjects by the largest (``"subject-max"``) or mean
            (``"subject-mean"``) score of their images.
        estimates: Metric name, a key of ``METRIC_LABELS``, to its estimate.
        n_images: Images that were judged, or whose scores were aggregated.
        n_normal: Normal ones, in the unit of ``level``.
        n_abnormal: Abnormal ones, in the unit of ``level``.
        n_subjects: Different known subjects; 0 where none is known.
        resampled: What the bootstrap drew: ``"subjects"`` or ``"images"``.
        resamples: How many times it drew.
        confidence: The coverage that the intervals aim at, such as 0.95.
        seed: The seed of the draws.
        notes: What a reader of the numbers should know.
    """

    level: str
    estimates: dict[str, Estimate]
    n_images: int
    n_normal: int
    n_abnormal: int
    n_subjects: int
    resampled: str
    resamples: int
    confidence: float
    seed: int
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The evaluation as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Evaluation:
        """The evaluation that ``to_json`` described."""
        estimates = {name: Estimate(**estimate) for name, estimate in stored["estimates"].items()}
        return cls(**(stored | {"estimates": estimates}))
