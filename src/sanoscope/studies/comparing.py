"""A study of recipes on collections as the command line gives it, without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanoscope.studies.declaration import Study
from sanoscope.studies.parsing import parse_study
from sanoscope.studies.sources import AtPaths


def comparison(
    recipes: Sequence[str],
    collections: Sequence[Path],
    *,
    name: str = "comparison",
    measure: str = "images",
    metrics: Sequence[str] = (),
    preset: str | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    folds: int = 0,
    seeds: int = 1,
    split: str | None = None,
    normal: str | None = None,
    layout: str | None = None,
    reference: str | None = None,
) -> Study:
    """A study of recipes with their options, on one or more collections.

    Args:
        recipes: Names.
        collections: Where they are.
        name: For files.
        measure: See ``Study``.
        metrics: See ``Study``.
        preset: Of all recipes that have it.
        grid: Values by option; recipes that have the option are tried with each.
        folds: See ``Collection``.
        seeds: How many.
        split: See ``Collection``.
        normal: See ``Collection``.
        layout: See ``Collection``.
        reference: See ``Study``.

    Raises:
        OptionError: If it cannot be carried out.
        DataError: If there is no such collection.
    """
    from sanoscope.studies.recipes import declared_recipe

    methods: list[dict[str, Any]] = []
    for recipe in recipes:
        declared = declared_recipe(recipe)
        method: dict[str, Any] = {"recipe": recipe}
        if preset is not None and (preset in declared.presets or len(recipes) == 1):
            method["preset"] = preset
        if own := {option: list(values) for option, values in (grid or {}).items() if option in declared.options}:
            method["grid"] = own
        methods.append(method)
    entries = [{"name": _name(path, collections), "data": str(path.absolute())} for path in collections]
    common = {"normal": normal, "layout": layout, "split": split, "folds": folds}
    content = {
        "name": name,
        "title": f"{', '.join(recipes)} on {', '.join(entry['name'] for entry in entries)}",
        "measure": measure,
        "metrics": list(metrics),
        "seeds": list(range(seeds)),
        "reference": reference,
        "collections": [{**{key: value for key, value in common.items() if value}, **entry} for entry in entries],
        "methods": methods,
    }
    return parse_study(content, "compare", AtPaths(Path.cwd()))


def _name(path: Path, among: Sequence[Path]) -> str:
    """The folder's name, with the folder's above where two are called the same."""
    same = sum(other.name == path.name for other in among) > 1
    return f"{path.absolute().parent.name}/{path.name}" if same else path.absolute().name
