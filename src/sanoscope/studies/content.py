"""The table of a study as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sanoscope.report.study_content import StudyContent
from sanoscope.studies.budget import Budget
from sanoscope.studies.declaration import Study
from sanoscope.studies.entries import Done
from sanoscope.studies.job import RESAMPLES
from sanoscope.studies.job_result import JobResult
from sanoscope.studies.metrics import METRICS
from sanoscope.studies.overall import curves_of, overall_of
from sanoscope.studies.table import section_of

TESTS = (
    "Intervals and p-values are by {resamples} resamples of the test side's subjects, the same for all rows, of the "
    "mean over seeds and folds; DeLong's test of areas under ROC curves counts a subject's images together. Both "
    "describe the choice of test images and say nothing of another training. P-values of all rows of a table are "
    "adjusted together after Holm."
)

SHORTENED = (
    "Trainings of less than half of the length take settings that suit short ones: light networks, small batches, "
    "large steps. With each method stands what was changed, and its real length."
)
DRAWS = (
    "The intervals of so many known anomalies hold the middle 95 % of draws of these anomalies, each of which chooses "
    "a configuration by itself; AUROC is that of the models of folds on the final test, which chose nothing."
)


def content_of(
    study: Study, budget: Budget, done: Sequence[Done], threads: int, notes: Mapping[str, Sequence[str]]
) -> StudyContent:
    """What is known of a study.

    Args:
        study: Declares it.
        budget: What was carried out of its protocol.
        done: All jobs, failed ones among them.
        threads: That each job computed with.
        notes: On the collections, by their names.
    """
    sections = [
        section_of(
            study,
            collection,
            [one for one in done if one.job.collection.name == collection.name],
            notes.get(collection.name, ()),
        )
        for collection in study.collections
    ]
    results = [one.result for one in done if one.result is not None]
    changed = {one.job.method.name: dict(one.result.changed) for one in done if one.result is not None}
    return StudyContent(
        name=study.name,
        title=study.title,
        paper=study.paper,
        measure=study.measure,
        metrics={metric: METRICS[study.measure][metric] for metric in study.metrics},
        reference=study.reference,
        budget=None if budget.is_full else budget.describe(len(study.seeds)),
        protocol=_protocol(study, budget, threads),
        sections=sections,
        overall=overall_of(study, sections),
        curves=curves_of(study, sections),
        pivot=study.pivot,
        changed=changed,
        notes=[
            DRAWS if study.measure == "selection" else TESTS.format(resamples=RESAMPLES),
            *([SHORTENED] if budget.is_short and any(method.short for method in study.methods) else []),
            *study.notes,
        ],
        claims=study.claims,
        failures=[(str(one.job), one.reason) for one in done if one.result is None],
        jobs=(len(results), len(done)),
        seconds=sum(result.seconds for result in results),
        environment=_environment(results),
    )


def _protocol(study: Study, budget: Budget, threads: int) -> list[tuple[str, str]]:
    seeds = budget.seeds_of(study.seeds)
    folds = sorted({collection.folds for collection in study.collections})
    sides = sorted({collection.split or "the data's own, else by subject" for collection in study.collections})
    return [
        ("measured", study.measure),
        ("budget", budget.describe(len(study.seeds))),
        ("seeds of training", ", ".join(map(str, seeds))),
        ("folds", ", ".join(str(number) if number else "none" for number in folds)),
        ("sides", ", ".join(sides)),
        *([("test side", "class-balanced, the surplus dropped")] if study.balance else []),
        ("compared with", study.reference),
        ("resamples", str(RESAMPLES)),
        ("threads of a job", str(threads)),
    ]


def _environment(results: Sequence[JobResult]) -> dict[str, str]:
    for result in results:
        if result.environment:
            versions, machine = result.environment["versions"], result.environment["machine"]
            system = f"{machine['system']}, {machine['cores']} cores, {machine['device']}"
            return {**{str(name): str(version) for name, version in versions.items()}, "machine": system}
    return {}
