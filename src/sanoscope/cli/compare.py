"""``sanoscope compare``: recipes on collections, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.options import (
    DataArgument,
    DeviceOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SplitOption,
    VerboseOption,
)
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


def compare(
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Methods; 'sanoscope recipes' lists them.")],
    data: DataArgument,
    out: OutOption,
    more: Annotated[
        list[Path] | None, typer.Option("--on", metavar="DATA", help="A further collection; may be given many times.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="NAME=[A,B]", help="Try the recipes that have an option with each value."),
    ] = None,
    measure: Annotated[str, typer.Option("--measure", help="images, pixels or clusters.")] = "images",
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="A metric to show, the main one first; many times.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=0, help="Of a cross-validation; 0 keeps the data's sides.")] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many trainings, with different seeds.")] = 1,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The row that others are compared with; the first by default.")
    ] = None,
    preset: PresetOption = None,
    split: SplitOption = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    budget: BudgetOption = "full",
    jobs: ProcessesOption = 1,
    threads: ThreadsOption = 1,
    scheduler: SchedulerOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    assignments: SetForAllOption = None,
    estimate: EstimateOption = True,
    verbose: VerboseOption = False,
) -> None:
    """Compare recipes on DATA in one table, with intervals, paired tests and the trivial rows."""
    from sanoscope.errors import OptionError
    from sanoscope.recipe import parse_options
    from sanoscope.studies.comparing import comparison

    values = parse_options(grid or [])
    for name, value in values.items():
        if not isinstance(value, list) or not value:
            raise OptionError(f"--grid {name}: takes a list such as [0.1,1], not {value!r}")
    declared = comparison(
        recipes,
        [data, *(more or [])],
        measure=measure,
        metrics=metrics or (),
        preset=preset,
        grid=values,
        folds=folds,
        seeds=seeds,
        split=split,
        normal=normal,
        layout=layout,
        reference=reference,
    )
    run = study_run(out, budget, declared.small, jobs, threads, scheduler, device, weights, assignments, estimate)
    end(carry_out(declared, run))
