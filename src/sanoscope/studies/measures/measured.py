"""What every measure gives, and what several of them need."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sanoscope.cases.case import SPLITS, Cases
from sanoscope.detector import Detector
from sanoscope.studies.job import Job
from sanoscope.studies.job_result import RowResult
from sanoscope.studies.recipes import with_weights

SUBJECTS, IMAGES = "subjects", "images"


@dataclass(frozen=True)
class Measured:
    """The rows of a job, and what its result says of the test side and the training.

    Attributes: as of ``JobResult``.
    """

    rows: tuple[RowResult, ...]
    images: str
    resampled: str
    labels: Sequence[int] | None = None
    subjects: Sequence[str | None] | None = None
    parameters: int | None = None
    training_seconds: float | None = None
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)


def fitted(job: Job, cases: Cases) -> Detector:
    """The method of a job, trained; a training that was interrupted goes on.

    Raises:
        SanoscopeError: If it cannot be trained.
    """
    machine = job.machine
    detector = Detector(with_weights(job.recipe, machine.weights), seed=job.seed, device=machine.device)
    folder = machine.scratch
    return detector.fit(cases, folder=folder, resume=folder is not None and folder.exists(), quiet=True)


def facts_of(detector: Detector) -> dict[str, Any]:
    """How large a model is, and how it was trained."""
    training, provenance = detector.provenance_["training"], detector.provenance_["fitted"]
    return {
        "parameters": training["parameters"],
        "training_seconds": training["seconds"],
        "environment": {"versions": provenance["versions"], "machine": provenance["machine"]},
    }


def readings_of(job: Job, detector: Detector, cases: Cases) -> Iterator[tuple[str, Detector]]:
    """The trained model as each further reading has it, its thresholds found anew; the one given stays as it is."""
    for name, options in job.method.readings.items():
        yield name, copy.copy(detector).adjust(options).calibrate(cases)


def digest_of(names: Iterable[str]) -> str:
    """What tells one set of test images from another."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def drawn(subjects: Sequence[str | None]) -> str:
    """What the bootstrap draws of images with these subjects."""
    known = {subject for subject in subjects if subject is not None}
    unknown = sum(subject is None for subject in subjects)
    if len(known) + unknown < 2 or not known:
        return f"{len(subjects)} images"
    alone = f" and {unknown} images of unknown subject" if unknown else ""
    return f"{len(known)} subjects{alone}"


def sides_of(cases: Cases) -> str:
    """How many images each side has, in words."""
    return "; ".join(_side(side, cases.in_split(side)) for side in SPLITS if len(cases.in_split(side)))


def _side(name: str, cases: Cases) -> str:
    labels = [("normal", 0), ("abnormal", 1), ("unlabelled", None)]
    counts = [f"{number} {what}" for what, label in labels if (number := cases.labels.count(label))]
    subjects = len(set(cases.subjects) - {None})
    return f"{name} {' and '.join(counts)}" + (f" of {subjects} subjects" if subjects else "")
