"""How long jobs will take, from a short measurement of each kind of training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sanoscope.cases import share
from sanoscope.cases.case import Cases
from sanoscope.recipe import Recipe
from sanoscope.report.search_page import duration
from sanoscope.studies.budget import LENGTHS
from sanoscope.studies.carry_out import silence
from sanoscope.studies.job import Job
from sanoscope.studies.runner import Runner

# Images that a short training learns from and scores: a few steps, not the first of which is measured.
TRAINED, SCORED = 64, 16
# Epochs and iterations of a short training; the first epoch is also the time to get started.
EPOCHS, ITERATIONS = 2, 4


@dataclass(frozen=True)
class Pilot:
    """A short training of a job's method, to see how long a long one takes.

    Attributes:
        job: Whose method.
        cases: All of its images.
    """

    job: Job
    cases: Cases

    @property
    def learned(self) -> int:
        """How many images the whole job learns from."""
        train = self.cases.train
        return len(train if self.job.terms.measure == "clusters" else train.normals)

    @property
    def scored(self) -> int:
        """How many images the whole job scores, those for thresholds among them."""
        return len(self.cases.test) * (1 + len(self.job.method.readings)) + len(self.cases.validation)

    def few(self) -> Cases:
        """Few images of each side."""
        train, test = max(len(self.cases.train), 1), max(len(self.cases.test), 1)
        return share(self.cases, min(1.0, TRAINED / train), min(1.0, SCORED / test), seed=0)


def forecast(pending: Sequence[Job], cases: Callable[[Job], Cases], runner: Runner) -> list[str]:
    """How long jobs will take together, in words, with what could not be measured.

    Args:
        pending: The jobs.
        cases: Gives those of a job.
        runner: Will run them.
    """
    kinds: dict[str, list[Job]] = {}
    for job in pending:
        kinds.setdefault(kind_of(job), []).append(job)
    pilots = [Pilot(jobs[0], cases(jobs[0])) for jobs in kinds.values()]
    seconds: dict[str, float] = {}
    lacking: list[str] = []
    begun = time.monotonic()
    runner.run(
        measured_seconds,
        pilots,
        lambda pilot, took: seconds.__setitem__(kind_of(pilot.job), took),
        lambda pilot, reason: lacking.append(f"not measured: {pilot.job.method.name} ({reason})"),
    )
    spent = time.monotonic() - begun
    total = sum(seconds[kind] * len(jobs) for kind, jobs in kinds.items() if kind in seconds)
    if runner.scheduler is not None:
        expected = f"{duration(total)} divided by the number of the cluster's workers"
    else:
        at_a_time = min(runner.processes, len(pending))
        expected = duration(total / at_a_time) + (f" with {at_a_time} jobs at a time" if at_a_time > 1 else "")
    measured = f"from {len(pilots)} short trainings, which took {duration(spent)}"
    return [f"expected time: about {expected} ({measured})", *lacking]


def kind_of(job: Job) -> str:
    """What jobs that take equally long for each image and step have in common."""
    recipe = job.recipe
    parts = ("preparation.", "network.", "training.batch_size", "training.max_iterations", "scoring.")
    values = {name: value for name, value in recipe.values.items() if name.startswith(parts)}
    return json.dumps([job.collection.name, recipe.name, values, sorted(job.method.readings)], default=str)


def measured_seconds(pilot: Pilot) -> float:
    """What the whole job of a pilot is expected to take.

    Raises:
        SanoscopeError: If not even the short training can be carried out.
    """
    from sanoscope.detector import Detector
    from sanoscope.recipes import RECIPES
    from sanoscope.studies.recipes import with_weights

    job, recipe = pilot.job, with_weights(pilot.job.recipe, pilot.job.machine.weights)
    if recipe.name not in RECIPES:  # without a network, or the supervised reference: small beside the others
        return 0.0
    begun, clusters, cases = time.monotonic(), job.terms.measure == "clusters", pilot.few()
    with silence():
        detector = Detector(shortened(recipe), seed=job.seed, device=job.machine.device)
        detector.fit(cases.unlabelled() if clusters else cases, quiet=True)
        trained = time.monotonic()
        if clusters:
            detector.transform(cases.test)
        else:
            detector.score(cases.test, maps=job.terms.measure == "pixels")
    ended = time.monotonic()
    an_image = (ended - trained) / len(cases.test)
    one_training = ended - begun + _steps(recipe, detector, pilot.learned, len(cases.train)) + pilot.scored * an_image
    return one_training * trainings_of(job)


def trainings_of(job: Job) -> int:
    """How many trainings a job has: one, but for a selection."""
    from sanoscope.studies.measures.selection import FOLDS

    return FOLDS * math.prod(len(values) for values in job.method.search.values()) if job.method.search else 1


def shortened(recipe: Recipe) -> Recipe:
    """The recipe with a training of few steps."""
    lengths = dict.fromkeys(LENGTHS, 1) | {"training.epochs": EPOCHS, "training.max_iterations": ITERATIONS}
    kept = {name: min(recipe[name], most) for name, most in lengths.items() if name in recipe.options and recipe[name]}
    return recipe.with_options(kept)


def _steps(recipe: Recipe, detector: Any, images: int, few: int) -> float:
    """Seconds of all steps of a training on so many images, by those of one on few."""
    history = detector.history_
    if not history:  # learned in closed form
        return float(detector.provenance_["training"]["seconds"]) * images / few
    last, before = history[-1], history[-2]["iterations"] if len(history) > 1 else 0
    a_step = last["seconds"] / max(last["iterations"] - before, 1)
    return float(a_step * recipe.build("training").iterations(images))
