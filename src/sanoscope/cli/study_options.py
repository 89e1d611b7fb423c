"""Arguments that the verbs of studies share, and how a study is carried out by them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sanoscope.cli.options import INTERRUPTED, PARTLY_DONE

if TYPE_CHECKING:
    from sanoscope.report.study_content import StudyContent
    from sanoscope.studies.declaration import Study
    from sanoscope.studies.study import StudyRun

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the study; one of the same study is gone on with.")]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        help="full; small, as the study declares it; a share of epochs and data such as 0.1; or shares by name, such "
        "as epochs=0.05,data=0.2,size=0.5,test=0.5,seeds=1.",
    ),
]
ProcessesOption = Annotated[int, typer.Option("--jobs", min=1, help="Jobs at a time, each in a process of its own.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads that each job computes with.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="Run jobs on a Dask cluster, such as tcp://host:8786, instead of this machine."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="Folder with published weights, in files named after their networks."),
]
SetForAllOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set an option of all methods that have it; many times."),
]
EstimateOption = Annotated[
    bool, typer.Option("--estimate/--no-estimate", help="Measure beforehand how long it will take.")
]


def study_run(
    out: Path,
    budget: str,
    declared: Any,
    jobs: int,
    threads: int,
    scheduler: str | None,
    device: str,
    weights: Path | None,
    assignments: list[str] | None,
    estimate: bool,
) -> StudyRun:
    """How a study is carried out, by the values of the options above.

    Raises:
        OptionError: If one of them cannot be.
    """
    from sanoscope.errors import OptionError
    from sanoscope.recipe import parse_options
    from sanoscope.studies.budget import Budget
    from sanoscope.studies.runner import Runner
    from sanoscope.studies.study import StudyRun

    if weights is not None and not weights.is_dir():
        raise OptionError(f"--weights {weights}: is no folder; give one with files of published weights")
    return StudyRun(
        out=out,
        budget=Budget.parse(budget, declared),
        runner=Runner(jobs, threads, scheduler),
        device=device,
        weights=weights,
        set_for_all=parse_options(assignments or []),
        measured=estimate,
    )


def carry_out(study: Study, run: StudyRun) -> StudyContent:
    """Carry a study out and print its tables; Ctrl-C ends with what is done kept."""
    from sanoscope.console import say

    try:
        content = run.carry_out(study)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on, with every job that is done")
        raise typer.Exit(INTERRUPTED) from None
    print_study(content)
    typer.echo(f"report: {run.out / 'report.html'}")
    return content


def print_study(content: StudyContent) -> None:
    """The tables of a study on stdout."""
    from sanoscope.evaluation import format_text_table

    for section in content.sections:
        headings = ["row", *content.metrics.values()]
        rows = [[row.name, *(_cell(row.cells.get(metric)) for metric in content.metrics)] for row in section.rows]
        typer.echo(f"\n{section.title}:\n{format_text_table([headings, *rows])}")


def end(content: StudyContent) -> None:
    """Say which jobs failed, if any, and exit accordingly."""
    from sanoscope.console import say

    if content.failures:
        for job, reason in content.failures:
            say(f"failed: {job}: {reason}")
        say(f"jobs that failed: {len(content.failures)} of {content.jobs[1]}; the same command tries them again")
        raise typer.Exit(PARTLY_DONE)


def _cell(cell: Any) -> str:
    if cell is None or cell.value is None:
        own = "-"
    else:
        digits = 3 if abs(cell.value) <= 1 else 1
        own = f"{cell.value:.{digits}f}"
        if cell.low is not None:
            own += f" [{cell.low:.{digits - 1}f}, {cell.high:.{digits - 1}f}]"
    return own + (f" (paper {cell.published})" if cell is not None and cell.published else "")
