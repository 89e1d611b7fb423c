"""``sanoscope similar``: more images like a given one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sanoscope.cli.options import (
    PARTLY_DONE,
    DataArgument,
    DeviceOption,
    LayoutOption,
    NormalOption,
    VerboseOption,
    require_new,
    require_outside,
)
from sanoscope.errors import DataError

if TYPE_CHECKING:
    from sanoscope.cases.case import Cases


def similar(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A folder that 'sanoscope fit' or 'sanoscope cluster' wrote.")
    ],
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="One image; of DATA, its name will do, as of a volume's slice.")
    ],
    data: DataArgument,
    count: Annotated[int, typer.Option("--count", min=1, help="How many images to find.")] = 10,
    metric: Annotated[str, typer.Option("--metric", help="Distance of latents: euclidean or cosine.")] = "euclidean",
    other_subjects: Annotated[
        bool, typer.Option("--other-subjects", help="Leave out images of the image's own subject.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="New folder for a table and a page with pictures.")] = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
) -> None:
    """Find the images of DATA that a model takes for most like IMAGE."""
    from sanoscope.console import say
    from sanoscope.evaluation import format_text_table
    from sanoscope.subtypes.run import fitted_encoder, read_for
    from sanoscope.subtypes.similar import find_similar, write_similar

    if out is not None:
        require_new(out)
    encoder, _ = fitted_encoder(model, device)
    cases = read_for(encoder, data, normal, layout)
    if out is not None and cases.layout != "manifest":
        require_outside(out, data)
    query = _of_collection(image, cases) or read_for(encoder, image, None, None)
    found = find_similar(encoder, query, cases, count, metric, other_subjects)
    for path, reason in found.unreadable:
        say(f"not looked at: {reason if path in reason else f'{path}: {reason}'}")
    header = ["rank", "distance", "subject", "label", "name"]
    lines = [
        [
            str(rank),
            f"{distance:.4g}",
            case.subject or "",
            case.group or ("" if case.label is None else str(case.label)),
            case.name,
        ]
        for rank, (case, distance) in enumerate(zip(found.cases, found.distances, strict=True), start=1)
    ]
    typer.echo(format_text_table([header, *lines]))
    if out is not None:
        typer.echo(f"page: {write_similar(found, encoder, out)}")
    if found.unreadable:
        raise typer.Exit(PARTLY_DONE)


def _of_collection(image: Path, cases: Cases) -> Cases | None:
    """The image as the collection knows it, with subject and label, if it is one of its images."""
    known = cases.where(lambda case: case.name == str(image))
    if not len(known):
        known = cases.where(lambda case: case.path is not None and case.path.resolve() == image.resolve())
    if len(known) > 1:
        raise DataError(f"{image}: holds {len(known)} images; give one of them by its name, such as '{known[0].name}'")
    return known if len(known) else None
