"""``sanoscope score``: from a model and images to scores, maps, decisions and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.models import load_adjusted
from sanoscope.cli.options import (
    PARTLY_DONE,
    ConfigOption,
    DataArgument,
    DeviceOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SetOption,
    VerboseOption,
    require_new,
    require_outside,
)


def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that 'sanoscope fit' wrote.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for scores, maps, overlays and the report.")],
    preset: PresetOption = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    side: Annotated[
        str,
        typer.Option(
            "--side", help="auto, all, train, validation or test; auto leaves out what the model was trained on."
        ),
    ] = "auto",
    normal: NormalOption = None,
    layout: LayoutOption = None,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="Write a map and an overlay for each image.")] = True,
    dicom: Annotated[
        bool,
        typer.Option("--dicom", help="Write a DICOM Segmentation and a Parametric Map for each source in DICOM."),
    ] = False,
    geojson: Annotated[
        bool,
        typer.Option("--geojson", help="Write outlines of abnormal regions of images; slides always have them."),
    ] = False,
    identified: Annotated[
        bool, typer.Option("--identified", help="Let DICOM results say who the patient is, as their sources do.")
    ] = False,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
) -> None:
    """Judge images. Options of scoring and decision can be changed with --set; nothing is trained again."""
    from sanoscope.cases import read_cases
    from sanoscope.cases.split_record import choose_side
    from sanoscope.cli.tables import print_results
    from sanoscope.console import say
    from sanoscope.errors import OptionError

    require_new(out)
    if (dicom or geojson or identified) and not maps:
        raise OptionError("--no-maps leaves nothing for --dicom, --geojson and --identified to write; leave it out")
    if identified and not dicom:
        raise OptionError("--identified goes with --dicom; give both")
    detector = load_adjusted(model, device, preset, config, assignments)
    slicing = detector.recipe.build("data").slicing
    cases = read_cases(data, normal=normal, layout=layout, slicing=slicing)
    if cases.layout != "manifest":
        require_outside(out, data)
    cases, which = choose_side(cases, model, side)
    say(f"scoring {which}")
    findings = detector.score(cases, maps=maps)
    content = findings.content()
    findings.save(out, content, dicom=dicom, geojson=geojson, identified=identified)
    for path, reason in findings.unreadable:
        say(f"not scored: {reason if path in reason else f'{path}: {reason}'}")
    typer.echo(f"called abnormal: {findings.abnormal.sum()} of {len(findings)} images")
    print_results(content)
    typer.echo(f"report: {out / 'report.html'}")
    if findings.unreadable:
        say(f"images without a score: {len(findings.unreadable)}; they are listed in {out / 'findings.json'}")
        raise typer.Exit(PARTLY_DONE)
