"""``sanoscope study``: what a YAML file declares, carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.options import DeviceOption, VerboseOption
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


def study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file: collections, methods, folds, seeds.")],
    out: OutOption,
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
    """Compare methods as FILE declares it: methods x collections x folds x seeds, in one table with tests."""
    from sanoscope.studies.parsing import parse_study, read_study
    from sanoscope.studies.sources import AtPaths

    declared = parse_study(read_study(file), str(file), AtPaths(file.absolute().parent))
    run = study_run(out, budget, declared.small, jobs, threads, scheduler, device, weights, assignments, estimate)
    end(carry_out(declared, run))
