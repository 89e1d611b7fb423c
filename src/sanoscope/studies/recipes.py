"""The recipe that a method is on a collection at a budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanoscope.errors import OptionError
from sanoscope.recipe import ADJUSTABLE, Recipe
from sanoscope.studies.budget import Budget
from sanoscope.studies.declaration import Collection, Method

FEATURES, WEIGHTS = "network.features", "network.weights"


def recipe_of(method: Method, collection: Collection, budget: Budget, set_for_all: Mapping[str, Any]) -> Recipe:
    """A method's recipe with all that is set for it: what comes later in this order wins.

    The preset, the collection's options, the method's own, those of short trainings, what is set for all methods, and
    the budget.

    Args:
        method: Of the study.
        collection: That it is trained on.
        budget: Shortens it.
        set_for_all: Options of all methods that have them.

    Raises:
        OptionError: For an option that does not exist, or a value it does not take.
    """
    recipe = _declared(method, method.preset_on(collection.name))
    recipe = recipe.with_options(_known_of(recipe, collection.options)).with_options(method.options)
    if budget.is_short:
        recipe = recipe.with_options(method.short)
    return budget.applied(recipe.with_options(_known_of(recipe, set_for_all)))


def with_weights(recipe: Recipe, folder: Path | None) -> Recipe:
    """The recipe with the file of its feature network's weights, where the folder has one named after it.

    Where weights lie is no part of what a method is: results that depend on it depend on the network's name.
    """
    if folder is None or not {FEATURES, WEIGHTS} <= recipe.options.keys() or recipe[WEIGHTS]:
        return recipe
    files = sorted(folder.glob(f"{recipe[FEATURES]}*.pth"))
    return recipe.with_options({WEIGHTS: str(files[0])}) if files else recipe


def check_method(method: Method, measure: str, where: str) -> None:
    """Refuse a method that cannot be carried out.

    Raises:
        OptionError: Names the method, and the mend.
    """
    presets = [method.preset] if method.preset is None or isinstance(method.preset, str) else method.preset.values()
    try:
        for preset in presets:
            recipe = _declared(method, preset).with_options(method.options).with_options(method.short)
        for reading, options in method.readings.items():
            for option in recipe.with_options(options).changes:
                if option in options and not option.startswith(ADJUSTABLE):
                    raise OptionError(f"reading '{reading}': option '{option}' is built into the trained model")
        for option, values in method.search.items():
            for value in values:
                recipe.with_options({option: value})
    except OptionError as error:
        raise OptionError(f"{where}: method '{method.name}': {error}") from error
    if measure not in ("images", "pixels") and (method.readings or method.also):
        raise OptionError(f"{where}: method '{method.name}': readings and 'also' are of images and pixels only")
    if method.ensemble and measure != "pixels":
        raise OptionError(f"{where}: method '{method.name}': an ensemble of maps is of measure pixels only")
    needed = measure == "selection"
    if (bool(method.search), bool(method.known)) != (needed, needed):
        raise OptionError(
            f"{where}: method '{method.name}': 'search' and 'known' are what a selection needs, and it alone"
        )


def _declared(method: Method, preset: str | None) -> Recipe:
    recipe = declared_recipe(method.recipe)
    return recipe.preset(preset) if preset else recipe


def declared_recipe(name: str) -> Recipe:
    """A recipe as it is declared, or one of what takes a recipe's place in clusters.

    Raises:
        OptionError: If there is none of that name.
    """
    from sanoscope.recipes import RECIPES, get_recipe
    from sanoscope.recipes.supervised import SUPERVISED
    from sanoscope.subtypes.encoders import PREPARED, prepared_method

    if name == SUPERVISED.name:
        return SUPERVISED
    if name in PREPARED and name not in RECIPES:
        return prepared_method(name).recipe
    return get_recipe(name)


def _known_of(recipe: Recipe, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in recipe.options}
