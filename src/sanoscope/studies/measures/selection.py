"""How good a configuration few known anomalies choose.

The figure on the number of anomalies of Shvetsova et al.: configurations are trained once in folds; then few of the
known anomalies are drawn again and again, and each draw chooses a configuration by these alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sanoscope.cases.case import Cases
from sanoscope.errors import DataError
from sanoscope.search_space import parse_space
from sanoscope.selection.parameters import space_size
from sanoscope.selection.search import Outcome, search
from sanoscope.selection.sensitivity import Point, sensitivity
from sanoscope.selection.settings import SearchSettings
from sanoscope.studies.declaration import BEST, BY_CHANCE, BY_LOSS, CHOSEN
from sanoscope.studies.job import Job
from sanoscope.studies.job_result import RowResult, rounded
from sanoscope.studies.measures.images import row_of, trivial_rows
from sanoscope.studies.measures.measured import Measured, digest_of, drawn, facts_of
from sanoscope.studies.recipes import with_weights

# Of the normals, as in the paper.
FOLDS = 3


def measure(job: Job, cases: Cases) -> Measured:
    """Try every configuration in folds, see what few known anomalies choose, and train the choice of all of them.

    Raises:
        SanoscopeError: If no configuration can be trained, or no anomaly can be known.
    """
    method, recipe = job.method, with_weights(job.recipe, job.machine.weights)
    space = parse_space(method.search)
    settings = SearchSettings(
        trials=int(space_size(space)),
        folds=FOLDS,
        known_kinds=job.collection.known_kinds,
        known=max(method.known),
        by=job.collection.split or "subject",
        pruner="none",
        seed=job.seed,
        device=job.machine.device,
        maps=False,
    )
    with tempfile.TemporaryDirectory() as passing:
        outcome = search(recipe, cases, job.machine.scratch or Path(passing) / "search", settings, space=space)
    findings, detector = outcome.findings, outcome.detector
    if findings is None or detector is None:
        raise DataError(f"{cases.source}: the final test has not both labels; more known kinds leave none")
    chosen = row_of(findings, findings.score_name, max(job.fold, 1), CHOSEN)
    return Measured(
        rows=(*_points(job, outcome), chosen, *trivial_rows(findings, max(job.fold, 1))),
        images=digest_of(case.name for case in findings.cases),
        resampled=drawn(findings.cases.subjects),
        notes=outcome.result.notes,
        **facts_of(detector),
    )


def _points(job: Job, outcome: Outcome) -> Iterator[RowResult]:
    """The mean test AUROC of folds' models of what each number of known anomalies chooses, with its draws."""
    method = job.method
    found = sensitivity(outcome.result, repeats=method.draws, seed=job.seed)
    if found is None or found.oracle is None:
        raise DataError(f"fewer than two configurations of '{method.name}' could be tried; there is nothing to choose")
    points: dict[int, Point] = {}
    for point in found.points:  # of one kind first, as in practice
        points.setdefault(point.anomalies, point)
    for number in method.known:
        spread = points[number].oracle if number in points else None
        yield RowResult(
            None,
            f"{number} known",
            "method",
            {"auroc": spread.mean if spread else None},
            rounded({"auroc": list(spread.draws)}) if spread else {},
        )
    others = {BY_LOSS: found.oracle.unsupervised, BY_CHANCE: found.oracle.mean, BEST: found.oracle.best}
    for name, value in others.items():
        yield RowResult(None, name, "method", {"auroc": value})
