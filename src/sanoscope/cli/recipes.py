"""``sanoscope recipes``: what there is, and every option of one with its default and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sanoscope.cli.options import VerboseOption

if TYPE_CHECKING:
    from sanoscope.recipe import Recipe


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show every option of this recipe.")] = None,
    verbose: VerboseOption = False,
) -> None:
    """List the recipes, or show one."""
    from rich.console import Console
    from rich.table import Column, Table

    from sanoscope.recipes import RECIPES, get_recipe

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a pipe has no width, and wrapped cells are hard to search
    if name is None:
        table = Table("Recipe", "Method", "Paper", box=None, header_style="bold")
        for recipe in RECIPES.values():
            table.add_row(recipe.name, recipe.title, recipe.paper)
        console.print(table)
        return
    recipe = get_recipe(name)
    console.print(f"[bold]{recipe.name}[/bold]: {recipe.title}\n{recipe.paper}\n")
    variants = {"": recipe, **{f", preset {preset}": recipe.preset(preset) for preset in recipe.presets}}
    sizes = {title: _parameters(variant) for title, variant in variants.items()}
    for title, size in sizes.items():
        if not title or size != sizes[""]:
            console.print(f"Parameters{title}: {size}", highlight=False)
    for note in recipe.notes:
        console.print(f"Note: {note}")
    for preset, values in recipe.presets.items():
        changed = ", ".join(
            f"{name}={value}" for name, value in values.items() if value != recipe.options[name].default
        )
        console.print(f"Preset {preset}: {changed}\n", markup=False)
    default = Column("Default", no_wrap=True)  # which would be hard to read in pieces
    table = Table("Option", default, "What it does", "Why this default", box=None, header_style="bold")
    for option_name, option in recipe.options.items():
        value = "–" if option.default is None else str(option.default)
        choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
        table.add_row(option_name, value, option.help + choices, option.source)
    console.print(table, markup=False)


def _parameters(recipe: Recipe) -> str:
    """How many parameters a recipe has."""
    # Late, as the list of recipes needs no torch.
    from sanoscope.parameters import count_parameters

    size, counts = recipe["preparation.image_size"], count_parameters(recipe)
    frozen = f" ({counts.frozen:,} of them frozen)" if counts.frozen else ""
    return f"{counts.training:,} in training{frozen}, {counts.inference:,} in inference, for {size}×{size} pixels"
