"""``sanoscope select``: search for the best options of a recipe, by a few known anomalies or by normals alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sanoscope.cli.options import (
    INTERRUPTED,
    ConfigOption,
    DeviceOption,
    EpochsOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SeedOption,
    SetOption,
    SplitOption,
    VerboseOption,
    recipe_options,
    require_outside,
)
from sanoscope.errors import OptionError

if TYPE_CHECKING:
    from sanoscope.recipe import Recipe
    from sanoscope.search_space import Space
    from sanoscope.selection.search import Outcome
    from sanoscope.selection.settings import SearchSettings


def select(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A method; 'sanoscope recipes' lists them.")],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="A collection, as for 'sanoscope fit', with some anomalies.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the search, its ranking, the model and its findings; goes on if begun."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", help="Configurations to try, over all processes.")] = 20,
    folds: Annotated[int, typer.Option("--folds", help="Folds of the normals, by subject.")] = 3,
    criterion: Annotated[
        str, typer.Option("--criterion", help="known-anomalies (AUROC) or validation-loss (normals alone).")
    ] = "known-anomalies",
    known: Annotated[int, typer.Option("--known", help="How many anomalies are known, at most.")] = 50,
    known_kinds: Annotated[
        str | None,
        typer.Option("--known-kinds", metavar="A,B", help="Kinds that are known; otherwise one, chosen by the seed."),
    ] = None,
    space: Annotated[Path | None, typer.Option("--space", help="YAML file with the search space.")] = None,
    show_space: Annotated[
        bool, typer.Option("--show-space", help="Print the search space as YAML to edit, and exit.")
    ] = False,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            "--early-stopping",
            min=1,
            help="Epochs without a better validation loss before a fold stops; the final training takes the mean of "
            "the folds' best iterations.",
        ),
    ] = None,
    pruner: Annotated[
        str, typer.Option("--pruner", help="median ends trials that are worse than half of the others; or none.")
    ] = "median",
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle/--no-oracle", help="Look at the final test in each fold, to show what a choice is worth."
        ),
    ] = True,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Where the search is kept and shared: sqlite:///FILE, journal:///FILE or a database server's URL; "
            "otherwise OUT/search.db.",
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Name of the search in its storage; otherwise of recipe and data.")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Only take trials of a search that another process ends.")
    ] = False,
    preset: PresetOption = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    epochs: EpochsOption = None,
    split: SplitOption = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="Write maps of the final test.")] = True,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
) -> None:
    """Search for the best options of RECIPE, train with them and judge the final test.

    The same command goes on with a search that was interrupted.
    """
    from sanoscope.recipes import get_recipe
    from sanoscope.selection.settings import SearchSettings
    from sanoscope.selection.space import space_of, space_yaml

    fixed = recipe_options(config, assignments, training__epochs=epochs, training__early_stopping=early_stopping)
    declared = get_recipe(recipe)
    chosen = (declared.preset(preset) if preset else declared).with_options(fixed)
    given = _given_space(space)
    searched = space_of(chosen, given, fixed)
    if show_space:
        typer.echo(space_yaml(searched), nl=False)
        return
    if data is None or out is None:
        raise OptionError("sanoscope select needs DATA and --out FOLDER, unless --show-space is given")
    settings = SearchSettings(
        trials=trials,
        folds=folds,
        criterion=criterion,
        known_kinds=tuple(kind.strip() for kind in (known_kinds or "").split(",") if kind.strip()),
        known=known,
        by=split or "subject",
        pruner=pruner,
        oracle=oracle,
        seed=seed,
        device=device,
        storage=storage,
        study=study,
        worker=worker,
        maps=maps,
    )
    settings.check()
    _search(chosen, searched, data, normal, layout, split, out, settings)


def _given_space(file: Path | None) -> Space | None:
    from sanoscope.search_space import parse_space
    from sanoscope.selection.space import read_space

    return parse_space(read_space(file)) if file else None


def _search(
    recipe: Recipe,
    space: Space,
    data: Path,
    normal: str | None,
    layout: str | None,
    split: str | None,
    out: Path,
    settings: SearchSettings,
) -> None:
    from sanoscope.cases import load_cases
    from sanoscope.console import say

    slicing = recipe.build("data").slicing
    cases = load_cases(data, split=split, normal=normal, layout=layout, slicing=slicing, seed=settings.seed)
    if cases.layout != "manifest":
        require_outside(out, data)
    for line in (cases.describe(), *cases.notes):
        say(line)

    from sanoscope.selection.search import search  # seconds, so after what can be said at once

    try:
        outcome = search(recipe, cases, out, settings, space=space)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on, with every fold that is done")
        raise typer.Exit(INTERRUPTED) from None
    _print(outcome, out)


def _print(outcome: Outcome, out: Path) -> None:
    from sanoscope.cli.models import say_threshold
    from sanoscope.cli.tables import print_results
    from sanoscope.console import say

    for note in outcome.result.notes:
        say(f"note: {note}")
    if outcome.detector is None:
        return
    best = outcome.result.ranked[0]
    typer.echo(f"best: trial {best.number} ({outcome.result.criterion} {best.value:.4g})")
    for name, value in best.options.items():
        typer.echo(f"  {name}={value}")
    say_threshold(outcome.detector)
    if outcome.findings is not None:
        print_results(outcome.findings.content())
        typer.echo(f"report: {out / 'findings' / 'report.html'}")
    typer.echo(f"model: {out / 'model'}\nsearch: {outcome.page}")
