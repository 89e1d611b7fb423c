"""The job: one method on one collection, in one fold, with one seed; what a study is cut into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sanoscope.cases.case import Cases
from sanoscope.recipe import Recipe
from sanoscope.studies.budget import Budget
from sanoscope.studies.declaration import Collection, Method, Study
from sanoscope.studies.recipes import recipe_of

# The least p-value is twice the inverse: small enough to be told from chance among 40 rows.
RESAMPLES = 2000


@dataclass(frozen=True)
class Terms:
    """What all jobs of a study have in common, and their results depend on.

    Attributes:
        measure: As of the study.
        balance: As of the study.
        threshold: As of the study.
        budget: What is carried out of the protocol.
        set_for_all: Options of all methods that have them, by dotted name.
        split_seed: Of the division into sides or folds, the same for all seeds of training.
        threads: That a job computes with.
    """

    measure: str
    balance: bool = False
    threshold: str | None = None
    budget: Budget = field(default_factory=Budget)
    set_for_all: Mapping[str, Any] = field(default_factory=dict)
    split_seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Machine:
    """What a job needs of the machine that it runs on, and its result does not depend on.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        weights: Folder with published weights of feature networks.
        scratch: Folder for trainings under way, which are gone on with after an interruption; None keeps nothing.
    """

    device: str = "auto"
    weights: Path | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class Job:
    """One training, and all that is read of it.

    Attributes:
        collection: What it is trained and tested on.
        method: What is trained.
        fold: From 1; 0 where there are no folds.
        seed: Of everything random but the split.
        terms: Of the study.
        machine: Where it runs.
        trivial: Whether it measures the trivial maps too, which are the same for all methods prepared alike.
    """

    collection: Collection
    method: Method
    fold: int
    seed: int
    terms: Terms
    machine: Machine = field(default_factory=Machine)
    trivial: bool = True

    @property
    def recipe(self) -> Recipe:
        """What is trained, but for the place of published weights."""
        return recipe_of(self.method, self.collection, self.terms.budget, self.terms.set_for_all)

    @property
    def name(self) -> str:
        """For files; several jobs may have the same, and what they depend on tells them apart."""
        parts = [self.collection.data[-1].name, self.method.recipe, *([f"fold {self.fold}"] if self.fold else [])]
        return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join([*parts, f"seed {self.seed}"])).strip("-").lower()

    def __str__(self) -> str:
        fold = f"fold {self.fold}, " if self.fold else ""
        return f"{self.method.name} on {self.collection.name}, {fold}seed {self.seed}"

    def depends_on(self, cases: Cases) -> dict[str, Any]:
        """All that its result depends on, fit for JSON.

        Args:
            cases: On their sides.
        """
        from sanoscope.cases import fingerprint

        method, terms = self.method, self.terms
        return {
            "recipe": method.recipe,
            "options": self.recipe.values,
            "readings": {name: dict(options) for name, options in method.readings.items()},
            "also": list(method.also),
            "plain": method.plain,
            "ensemble": method.ensemble,
            "search": {name: list(values) for name, values in method.search.items()},
            "known": [list(method.known), method.draws, list(self.collection.known_kinds)] if method.known else [],
            "measure": terms.measure,
            "balance": terms.balance,
            "threshold": terms.threshold,
            "threads": terms.threads,
            "trivial": self.trivial,
            "seed": self.seed,
            "data": fingerprint(cases)["sha256"],
            "shares": asdict(terms.budget) if terms.measure == "selection" else {},
        }


def jobs_of(study: Study, terms: Terms, machine: Machine) -> list[Job]:
    """All jobs of a study: collection by collection, and within one the first seed of every method before the next.

    So that a study that is stopped early has something of all methods.
    """
    return [
        Job(collection, method, fold, seed, terms, machine, trivial=number == 0 or terms.measure != "pixels")
        for collection in study.collections
        for seed in terms.budget.seeds_of(study.seeds)
        for fold in (range(1, collection.folds + 1) if collection.folds else (0,))
        for number, method in enumerate(study.methods_on(collection))
    ]
