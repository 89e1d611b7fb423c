"""``sanoscope calibrate``: thresholds anew for other options of scoring, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.models import load_adjusted, say_threshold
from sanoscope.cli.options import (
    ConfigOption,
    DataArgument,
    DeviceOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SetOption,
    VerboseOption,
    require_new,
)


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that 'sanoscope fit' wrote.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for the model with its new thresholds.")],
    preset: PresetOption = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
) -> None:
    """Set options of scoring or post-processing for good: thresholds are fitted anew on the data it was fitted on."""
    from sanoscope.cases import read_cases
    from sanoscope.cases.split_record import as_recorded, write_split
    from sanoscope.console import say

    require_new(out)
    detector = load_adjusted(model, device, preset, config, assignments)
    slicing = detector.recipe.build("data").slicing
    cases = as_recorded(read_cases(data, normal=normal, layout=layout, slicing=slicing), model)
    detector.calibrate(cases).save(out)
    write_split(cases, out)
    say(f"model: {out}")
    say_threshold(detector)
