"""Carrying out one job, wherever it runs."""

from __future__ import annotations

import contextlib
import io
import shutil
import time

from sanoscope.studies.job import Job
from sanoscope.studies.job_cases import cases_of
from sanoscope.studies.job_result import JobResult


def silence() -> contextlib.redirect_stderr[io.StringIO]:
    """Keeps a job from telling how far it is: many at a time would all speak at once."""
    return contextlib.redirect_stderr(io.StringIO())


def carry_out(job: Job) -> JobResult:
    """Train what the job trains, and measure it.

    Raises:
        SanoscopeError: If that cannot be done.
    """
    from sanoscope.studies.measures import clusters, images, pixels, selection
    from sanoscope.studies.measures.measured import sides_of

    measures = {"images": images, "pixels": pixels, "clusters": clusters, "selection": selection}
    begun = time.monotonic()
    with silence():
        cases = cases_of(job)
        measured = measures[job.terms.measure].measure(job, cases)
    result = JobResult(
        rows=measured.rows,
        images=measured.images,
        resampled=measured.resampled,
        sides=sides_of(cases),
        seconds=round(time.monotonic() - begun, 2),
        labels=measured.labels,
        subjects=measured.subjects,
        parameters=measured.parameters,
        training_seconds=measured.training_seconds,
        changed=dict(job.recipe.changes),
        notes=tuple(dict.fromkeys((*cases.notes, *measured.notes))),
        environment=measured.environment,
    )
    if job.machine.scratch:
        shutil.rmtree(job.machine.scratch, ignore_errors=True)
    return result
