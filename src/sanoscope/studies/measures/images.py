"""How well images are told normal from abnormal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.detector import Detector
from sanoscope.errors import OptionError, nearest
from sanoscope.evaluation import evaluate_with_draws, mean_with_draws
from sanoscope.findings import Findings
from sanoscope.studies.job import RESAMPLES, Job
from sanoscope.studies.job_result import RowResult, rounded
from sanoscope.studies.measures.measured import Measured, digest_of, drawn, facts_of, fitted, readings_of

ALL_ABNORMAL = "predict all abnormal"


def measure(job: Job, cases: Cases) -> Measured:
    """Train, score the test side in every reading, and evaluate images.

    Raises:
        SanoscopeError: If the method cannot be trained, or no test image be read.
    """
    detector = fitted(job, cases)
    plain, milliseconds = scored(job, detector, cases)
    labelled = np.flatnonzero(plain.labels >= 0)
    seed = max(job.fold, 1)
    rows = [row_of(plain, plain.score_name, seed, None, milliseconds)] if job.method.plain else []
    rows += [row_of(plain, _known(plain, name), seed, name, milliseconds) for name in job.method.also]
    trivial = trivial_rows(plain, seed)
    facts, notes = facts_of(detector), tuple(detector.notes_)
    for name, read in readings_of(job, detector, cases):
        other, taken = scored(job, read, cases)
        rows.append(row_of(other, other.score_name, seed, name, taken))
    subjects = [plain.cases.subjects[index] for index in labelled]
    return Measured(
        rows=(*rows, *trivial),
        images=digest_of(plain.cases[int(index)].name for index in labelled),
        resampled=drawn(subjects),
        labels=plain.labels[labelled].tolist(),
        subjects=subjects,
        notes=(*notes, *(f"not scored: {reason}" for _, reason in plain.unreadable)),
        **facts,
    )


def scored(job: Job, detector: Detector, cases: Cases) -> tuple[Findings, float]:
    """The findings of the test side, class-balanced if the study says so, and milliseconds an image."""
    test = cases.test
    detector.preparation_.decode(test)  # so that reading files is no part of scoring
    begun = time.monotonic()
    findings = detector.score(test, maps=False)
    milliseconds = 1000 * (time.monotonic() - begun) / len(findings)
    return (findings.balanced(job.terms.split_seed) if job.terms.balance else findings), milliseconds


def _known(findings: Findings, name: str) -> str:
    if name not in findings.scores:
        raise OptionError(f"the model computes no score '{name}'; {nearest(name, list(findings.scores))}")
    return name


def trivial_rows(findings: Findings, seed: int) -> list[RowResult]:
    """What needs no model: scores of brightness and the like, and calling everything abnormal.

    Args:
        findings: Of the test side.
        seed: Of the resamples.
    """
    rows = [row_of(findings, name, seed, trivial=True) for name in findings.trivial]
    return [*rows, _all_abnormal(findings, seed)]


def row_of(
    findings: Findings,
    score: str,
    seed: int,
    reading: str | None = None,
    milliseconds: float | None = None,
    *,
    trivial: bool = False,
) -> RowResult:
    """One score of the findings, evaluated.

    Args:
        findings: Of the test side.
        score: Which of the findings' scores.
        seed: Of the resamples.
        reading: See ``RowResult``.
        milliseconds: See ``RowResult``.
        trivial: Whether it needs no model.
    """
    values, decision = findings.scores[score], findings.decisions[score]
    evaluation, draws = evaluate_with_draws(
        findings.labels, values, decision.decide(values), findings.cases.subjects, resamples=RESAMPLES, seed=seed
    )
    metrics = {name: estimate.value for name, estimate in evaluation.estimates.items()}
    labelled = findings.labels >= 0
    if not trivial and reading is None:
        subjects = [findings.cases.subjects[index] for index in np.flatnonzero(labelled)]
        for term, quantity in _terms(findings):
            metrics[term], draws[term] = mean_with_draws(quantity[labelled], subjects, RESAMPLES, seed)
    return RowResult(
        name=score if trivial else None,
        reading=reading,
        kind="trivial" if trivial else "method",
        values=metrics,
        draws=rounded(_shown(draws)),
        scores=[float(value) for value in values[labelled]],
        milliseconds=milliseconds,
    )


def _terms(findings: Findings) -> Iterator[tuple[str, np.ndarray]]:
    """Both terms of a variational bound for each image, where the model computes them."""
    beta = findings.recipe.get("options", {}).get("objective.beta")
    if beta is not None and {"elbo", "kl"} <= findings.scores.keys():
        kl = findings.scores["kl"]
        yield "reconstruction", findings.scores["elbo"] - beta * kl
        yield "kl", kl


def _all_abnormal(findings: Findings, seed: int) -> RowResult:
    everything = np.ones(len(findings))
    evaluation, draws = evaluate_with_draws(
        findings.labels, everything, everything, findings.cases.subjects, resamples=RESAMPLES, seed=seed
    )
    metrics = {name: estimate.value for name, estimate in evaluation.estimates.items()}
    ones = [1.0] * int((findings.labels >= 0).sum())
    return RowResult(ALL_ABNORMAL, None, "trivial", metrics, rounded(_shown(draws)), ones)


def _shown(draws: Mapping[str, Any]) -> dict[str, Any]:
    """Those of metrics that a study can show."""
    from sanoscope.studies.metrics import METRICS

    return {name: values for name, values in draws.items() if name in METRICS["images"]}
