"""``sanoscope inspect``: what is there, before any training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sanoscope.cli.options import (
    PARTLY_DONE,
    ConfigOption,
    DataArgument,
    LayoutOption,
    NormalOption,
    SetOption,
    VerboseOption,
    recipe_options,
    require_new,
    require_outside,
)

if TYPE_CHECKING:
    from sanoscope.cases.slicing import Slicing


def inspect(
    data: DataArgument,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for inspect.json and the page inspect.html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Read so many cases only, drawn with a fixed seed.")
    ] = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Look at DATA before any training: what is there, what is suspicious or refused, and what suits it.

    Options that --set takes are those of the data, such as data.axis.
    """
    from sanoscope.inspection import inspect as look_into

    if out is not None:
        require_new(out)
    found = look_into(data, normal=normal, layout=layout, slicing=_slicing(config, assignments), sample=sample)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        from sanoscope.inspection.text import print_inspection

        print_inspection(found, sys.stdout)
    if out is not None:
        from sanoscope.inspection.page import write_inspection

        if found.layout != "manifest":
            require_outside(out, data)
        page = write_inspection(found, out)
        typer.echo(f"page: {page}", err=as_json)
    if found.refused:
        raise typer.Exit(PARTLY_DONE)


def _slicing(config: Path | None, assignments: list[str] | None) -> Slicing:
    """How the data is cut; of a file with options of a recipe, those of the data."""
    from sanoscope.recipe import Recipe
    from sanoscope.recipes.parts import DATA

    of_data = Recipe("inspect", "What is there", "", {"data": DATA})
    options = {name: value for name, value in recipe_options(config, None).items() if name.startswith("data.")}
    slicing: Slicing = of_data.with_options(options | recipe_options(None, assignments)).build("data").slicing
    return slicing
