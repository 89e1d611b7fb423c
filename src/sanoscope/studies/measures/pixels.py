"""How well maps show where images are abnormal."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.detector import Detector
from sanoscope.errors import DataError, OptionError, nearest
from sanoscope.evaluation import OPERATING_POINT, PixelEvaluation
from sanoscope.findings import Findings
from sanoscope.map_evaluation import MapEvaluation
from sanoscope.studies.declaration import ENSEMBLE
from sanoscope.studies.job import RESAMPLES, Job
from sanoscope.studies.job_result import RowResult, rounded
from sanoscope.studies.measures.measured import Measured, digest_of, drawn, facts_of, fitted, readings_of


def measure(job: Job, cases: Cases) -> Measured:
    """Train, map the test side in every reading, and evaluate pixels on the files' own grid.

    Raises:
        SanoscopeError: If the method cannot be trained, gives no maps, or no test image has a mask.
    """
    method = job.method
    detector = fitted(job, cases)
    facts, notes = facts_of(detector), tuple(detector.notes_)
    detector.preparation_.decode(cases.test)  # so that reading files is no part of scoring
    read: list[_Read] = []
    if method.plain or method.also or method.ensemble or job.trivial:
        read.append(_read(job, detector, cases, None))
    read += [_read(job, other, cases, name) for name, other in readings_of(job, detector, cases)]
    return Measured(
        rows=(*(row for one in read for row in one.rows), *(row for one in read for row in one.trivial)),
        images=digest_of(case.name for case in read[0].findings.cases),
        resampled=drawn(read[0].findings.cases.subjects),
        notes=(*notes, *(note for note in read[0].findings.notes if "ensemble" in note)),
        **facts,
    )


class _Read(NamedTuple):
    """The model in one reading."""

    findings: Findings
    rows: list[RowResult]
    trivial: list[RowResult]


def _read(job: Job, detector: Detector, cases: Cases, reading: str | None) -> _Read:
    """Map and evaluate the test side; the model as it was trained has its further maps and the trivial ones too."""
    method, begun = job.method, time.monotonic()
    findings = detector.score(cases.test)
    milliseconds = 1000 * (time.monotonic() - begun) / len(findings)
    if findings.maps is None:
        raise DataError(f"recipe '{method.recipe}' judges whole images and has no maps; measure images instead")
    if method.ensemble:
        findings, _ = findings.with_ensemble(method.ensemble, job.terms.split_seed)
    assert findings.maps is not None
    titles: dict[str, str | None] = {}
    if reading is not None or method.plain:
        titles[findings.maps.name] = reading
    if reading is None:
        titles |= {_known(findings, also): also for also in method.also}
        titles |= {ENSEMBLE: ENSEMBLE} if method.ensemble else {}
    trivial = [name for name in findings.maps.trivial if reading is None and job.trivial]
    evaluated = _evaluated(job, findings, [*titles, *trivial])
    return _Read(
        findings,
        [_row(job, evaluated[name], title, milliseconds) for name, title in titles.items()],
        [_row(job, evaluated[name], None, None, name) for name in trivial],
    )


Evaluated = tuple[PixelEvaluation, Mapping[str, np.ndarray]]


def _evaluated(job: Job, findings: Findings, names: Collection[str]) -> dict[str, Evaluated]:
    """The evaluation of each of some maps, with the draws of its metrics."""
    assert findings.maps is not None
    least = findings.recipe.get("options", {}).get("data.least_abnormal", 0.0)
    pixels = MapEvaluation(findings.cases, findings.maps, "", least)
    if pixels.is_empty:
        raise DataError(f"{findings.cases.source}: no test image is left to evaluate pixels of: {pixels.notes}")
    rows = pixels.rows_with_draws(names, resamples=RESAMPLES, seed=max(job.fold, 1))
    ordered = [name for name in findings.maps.names if name in names]
    return {name: (row.evaluation, draws) for name, (row, draws) in zip(ordered, rows, strict=True)}


def _known(findings: Findings, name: str) -> str:
    assert findings.maps is not None
    if name not in findings.maps.names:
        raise OptionError(f"the model computes no map '{name}'; {nearest(name, list(findings.maps.names))}")
    return name


def _row(
    job: Job, evaluated: Evaluated, reading: str | None, milliseconds: float | None, trivial: str | None = None
) -> RowResult:
    evaluation, draws = evaluated
    threshold = _threshold(job.terms.threshold, evaluation)
    metrics = {name: estimate.value for name, estimate in evaluation.estimates.items()}
    metrics |= {name: one.value for name, one in evaluation.decisions[threshold].estimates.items()}
    at_threshold = {name.removesuffix(f"@{threshold}"): values for name, values in draws.items()}
    kept = {name: values for name, values in at_threshold.items() if name in metrics}
    return RowResult(trivial, reading, "trivial" if trivial else "method", metrics, rounded(kept), None, milliseconds)


def _threshold(wanted: str | None, evaluation: PixelEvaluation) -> str:
    """The threshold that decisions are shown at: the one that is asked for, or the first that was fitted."""
    if wanted is None:
        return next((name for name in evaluation.decisions if name != OPERATING_POINT), OPERATING_POINT)
    if wanted not in evaluation.decisions:
        known: list[Any] = list(evaluation.decisions)
        raise OptionError(f"maps have no threshold '{wanted}'; {nearest(wanted, known)}")
    return wanted
