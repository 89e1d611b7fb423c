"""Carrying out a study: what is done already is taken from its folder, the rest is run, and a table is made of all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sanoscope.cases.case import Cases
from sanoscope.console import say
from sanoscope.errors import DataError, OptionError
from sanoscope.report.search_page import duration
from sanoscope.report.study_content import StudyContent
from sanoscope.result_folder import ResultFolder
from sanoscope.studies.budget import Budget
from sanoscope.studies.carry_out import carry_out
from sanoscope.studies.content import content_of
from sanoscope.studies.declaration import Study
from sanoscope.studies.entries import Done
from sanoscope.studies.estimate import forecast
from sanoscope.studies.job import Job, Machine, Terms, jobs_of
from sanoscope.studies.job_cases import cases_of
from sanoscope.studies.job_result import JobResult
from sanoscope.studies.runner import Runner

JOBS, UNDER_WAY, TABLE, PAGE = "jobs", "under-way", "study.json", "report.html"


@dataclass(frozen=True)
class StudyRun:
    """How a study is carried out.

    Attributes:
        out: Its folder; one of the same study is gone on with.
        budget: Which part of the protocol.
        runner: Where jobs run.
        device: As for ``Detector``.
        weights: Folder with published weights of feature networks.
        set_for_all: Options of all methods that have them, by dotted name.
        measured: Whether a short measurement tells beforehand how long it takes.
        progress: Called with a line for each job, and before the first.
    """

    out: Path
    budget: Budget = field(default_factory=Budget)
    runner: Runner = field(default_factory=Runner)
    device: str = "auto"
    weights: Path | None = None
    set_for_all: Mapping[str, Any] = field(default_factory=dict)
    measured: bool = True
    progress: Callable[[str], None] = say

    def carry_out(self, study: Study) -> StudyContent:
        """Run what is not done yet, and write table and report.

        Jobs that fail are listed with their reason, and are tried anew the next time.

        Raises:
            DataError: If a collection cannot be used, or no job could be carried out.
            OptionError: If the folder has another study, or an option cannot be.
            KeyboardInterrupt: With all jobs kept that are done; the same call goes on.
        """
        self._require_own(study)
        terms = Terms(
            study.measure,
            study.balance,
            study.threshold,
            self.budget,
            dict(self.set_for_all),
            study.seeds[0],
            self.runner.threads,
        )
        jobs = jobs_of(study, terms, Machine(self.device, self.weights))
        self._require_known_options(jobs)
        kept = _Kept(ResultFolder(self.out / JOBS), jobs)
        pending = [job for job in jobs if kept.result(job) is None]
        self._announce(study, jobs, pending, kept)
        reasons = self._run(study, pending, kept)
        done = [Done(job, kept.result(job), reasons.get(str(job), "")) for job in jobs]
        if not any(one.result for one in done):
            raise DataError(f"no job of '{study.name}' could be carried out; the first: {next(iter(reasons.values()))}")
        if not reasons:  # what failed may go on from where it was
            shutil.rmtree(self.out / UNDER_WAY, ignore_errors=True)
        content = content_of(study, self.budget, done, self.runner.threads, kept.notes)
        write_study(content, self.out)
        return content

    def _run(self, study: Study, pending: Sequence[Job], kept: _Kept) -> dict[str, str]:
        """Why jobs failed, by their names."""
        reasons: dict[str, str] = {}
        number, total = len(kept.jobs) - len(pending), len(kept.jobs)

        def tell(job: Job, what: str) -> None:
            nonlocal number
            number += 1
            self.progress(f"[{number} of {total}] {job}: {what}")

        def done(job: Job, result: JobResult) -> None:
            kept.keep(job, result)
            tell(job, f"{_in_words(study, result)} ({duration(result.seconds)})")

        def failed(job: Job, reason: str) -> None:
            reasons[str(job)] = reason
            tell(job, f"failed: {reason}")

        if pending:
            self.runner.run(carry_out, [self._with_scratch(job, kept) for job in pending], done, failed)
        return reasons

    def _with_scratch(self, job: Job, kept: _Kept) -> Job:
        """With a place for a training under way, on this machine; others may not see this folder."""
        if self.runner.scheduler is not None:
            return job
        scratch = self.out.absolute() / UNDER_WAY / kept.file(job).stem
        return replace(job, machine=replace(job.machine, scratch=scratch))

    def _announce(self, study: Study, jobs: Sequence[Job], pending: Sequence[Job], kept: _Kept) -> None:
        """How many jobs, how long, and what is written."""
        self.progress(f"{study.name}: {study.title}")
        self.progress(f"budget: {self.budget.describe(len(study.seeds))}")
        for collection in study.collections:
            if collection.stand_in:
                self.progress(f"{collection.name}: {collection.stand_in}")
        finished = f", {len(jobs) - len(pending)} of them done already" if len(pending) < len(jobs) else ""
        self.progress(f"jobs: {len(jobs)}{finished}")
        if pending and self.measured:
            for line in forecast(pending, kept.cases, self.runner):
                self.progress(line)
        self.progress(f"writes: {self.out / JOBS} (a file a job), {self.out / TABLE}, {self.out / PAGE}")

    def _require_own(self, study: Study) -> None:
        """Refuse a folder with something else in it."""
        table = self.out / TABLE
        if table.is_file():
            try:
                name = json.loads(table.read_text()).get("name")
            except (ValueError, AttributeError):
                name = None
            if name != study.name:
                raise OptionError(f"{self.out}: has the study '{name}'; choose another --out for '{study.name}'")
        elif self.out.exists() and any(path.name not in (JOBS, UNDER_WAY) for path in self.out.iterdir()):
            raise OptionError(f"{self.out}: has something other than a study in it; choose another --out")

    def _require_known_options(self, jobs: Sequence[Job]) -> None:
        """Refuse an option set for all that none of the methods has."""
        for option in self.set_for_all:
            if not any(option in job.recipe.options for job in jobs):
                raise OptionError(f"--set {option}: no method of this study has that option")


class _Kept:
    """Results of jobs in a folder, and the cases that they depend on.

    Args:
        folder: Has the results.
        jobs: All of the study.

    Attributes:
        notes: On each collection, by its name.
    """

    def __init__(self, folder: ResultFolder, jobs: Sequence[Job]) -> None:
        self.folder = folder
        self.jobs = jobs
        self._cases: dict[str, Cases] = {}
        self.notes: dict[str, tuple[str, ...]] = {}
        self._depends = {str(job): job.depends_on(self.cases(job)) for job in jobs}
        self._results: dict[str, JobResult] = {}
        for job in jobs:
            stored = folder.find(job.name, self._depends[str(job)])
            if stored is not None:
                self._results[str(job)] = JobResult.from_json(stored)

    def cases(self, job: Job) -> Cases:
        """Of a job; those of jobs on the same images are read once."""
        recipe = job.recipe
        slicing = recipe.settings("data") if "data" in recipe.parts else {}
        key = json.dumps([job.collection.name, job.fold, slicing], sort_keys=True, default=str)
        if key not in self._cases:
            collection = job.collection.name
            self._cases[key] = cases_of(job, check_duplicates=collection not in self.notes)
            self.notes.setdefault(collection, self._cases[key].notes)
        return self._cases[key]

    def result(self, job: Job) -> JobResult | None:
        """Of a job that is done."""
        return self._results.get(str(job))

    def keep(self, job: Job, result: JobResult) -> None:
        """Write a result at once."""
        plain = result.to_json()
        self.folder.keep(job.name, self._depends[str(job)], plain)
        self._results[str(job)] = JobResult.from_json(plain)

    def file(self, job: Job) -> Path:
        """Where a job's result is kept."""
        file = self.folder.file(job.name, self._depends[str(job)])
        assert file is not None
        return file


def write_study(content: StudyContent, out: Path) -> None:
    """Write the table as JSON and the report."""
    from sanoscope.report.study_page import render_study

    for name, text in ((TABLE, json.dumps(content.to_json(), indent=1) + "\n"), (PAGE, render_study(content))):
        unfinished = out / f".{name}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(out / name)


def _in_words(study: Study, result: JobResult) -> str:
    """The main metric of the job's first row."""
    metric = study.metrics[0]
    row = next((row for row in result.rows if row.name is None), None)
    value = row.values.get(metric) if row else None
    return f"{metric} -" if value is None else f"{metric} {value:.3f}"
