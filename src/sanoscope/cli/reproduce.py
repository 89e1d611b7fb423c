"""``sanoscope reproduce``: the papers' tables, with the paper's numbers beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sanoscope.cli.options import PARTLY_DONE, DeviceOption, VerboseOption
from sanoscope.cli.study_options import (
    BudgetOption,
    EstimateOption,
    OutOption,
    ProcessesOption,
    SchedulerOption,
    SetForAllOption,
    ThreadsOption,
    WeightsOption,
    carry_out,
    end,
    study_run,
)
from sanoscope.errors import DataError, OptionError

if TYPE_CHECKING:
    from sanoscope.report.study_content import StudyContent


def _list_tables(wanted: bool) -> None:
    if not wanted:
        return
    from sanoscope.studies.reproduction import tables

    for table in tables():
        typer.echo(f"{table.name:4}  {table.title}\n      {table.paper}")
        typer.echo(f"      its own data: {', '.join(table.own)}; stand-ins: {', '.join(table.stand_ins)}")
        typer.echo(f"      in full: {table.needs}")
        typer.echo(f"      --budget small: {', '.join(f'{name}={share:g}' for name, share in table.small.items())}\n")
    raise typer.Exit


def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Such as A1 or ES2; 'all' takes every table.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="The paper's collection, or a folder of collections, some of which may stand in."
        ),
    ],
    out: OutOption,
    listed: Annotated[
        bool,
        typer.Option("--list", callback=_list_tables, is_eager=True, help="List the tables and what each needs."),
    ] = False,
    budget: BudgetOption = "full",
    jobs: ProcessesOption = 1,
    threads: ThreadsOption = 1,
    scheduler: SchedulerOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    assignments: SetForAllOption = None,
    pages: Annotated[
        Path | None, typer.Option("--pages", help="Folder for tables as JSON and pages with figures, without images.")
    ] = None,
    estimate: EstimateOption = True,
    verbose: VerboseOption = False,
) -> None:
    """Run a paper's table with its protocol, on its own collection or on others, beside the paper's numbers."""
    from sanoscope.console import say
    from sanoscope.studies.reproduction import ALL, reproduction, tables

    def run(name: str, folder: Path) -> StudyContent:
        study = reproduction(name, data)
        content = carry_out(
            study,
            study_run(folder, budget, study.small, jobs, threads, scheduler, device, weights, assignments, estimate),
        )
        if pages is not None:
            _write_page(content, pages)
        return content

    if table.lower() != ALL:
        end(run(table, out))
        return
    unfinished = 0
    for one in tables():
        try:
            content = run(one.name, out / one.name)
            unfinished += bool(content.failures)
        except (DataError, OptionError) as error:
            say(f"table {one.name} left out: {error}")
            unfinished += 1
    if unfinished:
        say(f"tables with jobs that failed, or left out: {unfinished}")
        raise typer.Exit(PARTLY_DONE)


def _write_page(content: StudyContent, folder: Path) -> None:
    from sanoscope.studies.pages import keep_table, write_pages

    keep_table(content, folder)
    write_pages(folder)
    typer.echo(f"page: {folder / content.name}.md")
