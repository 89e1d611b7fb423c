"""How well clusters of latents match classes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.clustering.naming import NAMINGS
from sanoscope.networks.network import parameter_count
from sanoscope.recipes.supervised import SUPERVISED
from sanoscope.studies.job import RESAMPLES, Job
from sanoscope.studies.job_result import RowResult, rounded
from sanoscope.studies.measures.measured import Measured, digest_of, drawn, facts_of
from sanoscope.studies.recipes import with_weights
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoders import PREPARED, Encoder, Method, RecipeMethod, prepared_method
from sanoscope.subtypes.fold import run_fold, run_supervised_fold, trivial_folds
from sanoscope.subtypes.fold_table import FoldResult, confusion_draws, units_of


def measure(job: Job, cases: Cases) -> Measured:
    """Learn without labels, find two clusters or as many as classes, and compare them with the classes.

    Raises:
        SanoscopeError: If the method cannot be trained, or clusters cannot be found.
    """
    seed = max(job.fold, 1)
    recipe, begun = with_weights(job.recipe, job.machine.weights), time.monotonic()
    encoder: Encoder | None = None
    kind = "method"
    facts: dict[str, Any] = {}
    if recipe.name == SUPERVISED.name:
        classifier = Classifier(recipe, device=job.machine.device, quiet=True)
        result = run_supervised_fold(classifier, cases, job.seed)
        kind, seconds = "supervised", round(time.monotonic() - begun, 1)
        facts = {"training_seconds": seconds, "parameters": parameter_count(classifier.network_)}
    else:
        method = _Remembered(
            prepared_method(recipe.name, recipe.changes)
            if recipe.name in PREPARED
            else RecipeMethod(recipe, job.machine.device, job.machine.scratch)
        )
        settings = ClusterSettings(clusters=len(_classes(cases)))
        result = run_fold(method, cases, settings, NAMINGS[0], job.seed)
        encoder = method.encoder
        kind = "trivial" if method.kind == "trivial" else "method"
    if (detector := getattr(encoder, "detector", None)) is not None:
        facts = facts_of(detector)
    subjects = cases.test.subjects
    trivial = [_row(fold, "trivial", seed, name) for name, fold in trivial_folds(cases).items()]
    return Measured(
        rows=(_row(result, kind, seed), *trivial),
        images=digest_of(case.name for case in cases.test),
        resampled=drawn(subjects),
        notes=tuple(f"not grouped: {reason}" for _, reason in result.unreadable),
        **facts,
    )


def _classes(cases: Cases) -> tuple[str, ...]:
    from sanoscope.subtypes.classes import classes_of

    return classes_of(cases)[0] or ("normal", "abnormal")


def _row(fold: FoldResult, kind: str, seed: int, name: str | None = None) -> RowResult:
    units = units_of([fold])
    draws = confusion_draws(units, RESAMPLES, seed) if len(units) > 1 else {}
    return RowResult(name, None, kind, _plain(fold), rounded(draws))


def _plain(fold: FoldResult) -> dict[str, float | None]:
    return {name: None if value is None or np.isnan(value) else float(value) for name, value in fold.values.items()}


class _Remembered:
    """A method that keeps what it has learned, to ask it how large it is.

    Args:
        method: Does the learning.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.name, self.title, self.kind, self.settings = method.name, method.title, method.kind, method.settings
        self.encoder: Encoder | None = None

    def fit(self, cases: Cases, seed: int) -> Encoder:
        """As the method does."""
        self.encoder = self.method.fit(cases, seed)
        return self.encoder
