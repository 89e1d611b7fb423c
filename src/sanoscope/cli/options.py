"""Arguments that several verbs share, and how their values become options of a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sanoscope.errors import DataError, OptionError

DataArgument = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="A manifest CSV, a folder of images or volumes, or a known collection layout."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set an option of the recipe; may be given many times."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with options of the recipe.")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the training normals.")]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="'subject' or 'image' split anew; otherwise the data's own, or by subject."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="A named set of the recipe's options, such as 'paper'.")
]
NormalOption = Annotated[
    str | None, typer.Option("--normal", help="The group that is normal, where groups have names of their own.")
]
LayoutOption = Annotated[
    str | None,
    typer.Option("--layout", help="How DATA is laid out, such as 'folder', where not as it is recognised."),
]
# Exit codes: what the user can mend, what was only partly done, and Ctrl-C.
BAD_INPUT, PARTLY_DONE, INTERRUPTED = 2, 1, 130

VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show where an error came from.")]


def recipe_options(config: Path | None, assignments: list[str] | None, **shortcuts: Any) -> dict[str, Any]:
    """Options by dotted name: the file's, then ``--set``, then shortcuts that were given.

    Raises:
        OptionError: If the file is missing or is no mapping, or an assignment cannot be read.
    """
    from sanoscope.recipe import flatten, parse_options, with_numbers

    options = flatten(with_numbers(_read_config(config))) if config else {}
    options |= parse_options(assignments or [])
    options |= {name.replace("__", "."): value for name, value in shortcuts.items() if value is not None}
    return options


def _read_config(file: Path) -> dict[str, Any]:
    from sanoscope.yaml_file import read_yaml

    content = read_yaml(file)
    if not isinstance(content, dict):
        raise OptionError(f"{file}: must be a mapping of option names to values, such as 'network.latent: 128'")
    return content


def require_new(folder: Path, mend: str = "choose another --out") -> None:
    """Refuse to write where something is, or where nothing can be written.

    Raises:
        DataError: If the folder exists and is not empty, is a file, or cannot be made.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DataError(f"{folder}: exists already; {mend}")
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise DataError(f"{folder}: cannot be made, as {place} is no folder that may be written; choose another --out")


def require_outside(folder: Path, data: Path) -> None:
    """Refuse to write images into a folder that is searched for images.

    Raises:
        DataError: If ``folder`` is ``data`` or lies in it.
    """
    if folder.resolve().is_relative_to(data.resolve()):
        raise DataError(f"{folder}: lies in {data}, where its pictures would be taken for data; choose another --out")
