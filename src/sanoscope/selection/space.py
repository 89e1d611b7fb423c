"""The search space of a recipe: its own or a common one, checked against its options, without what is fixed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sanoscope.errors import OptionError, nearest
from sanoscope.recipe import Recipe
from sanoscope.search_space import Choices, Dimension, Space, Span, to_plain

# What decides which images there are is settled before a search begins.
SETTLED = ("data.axis", "data.slices", "data.modality", "data.view", "data.least_abnormal")
# The common space: the step size over two orders of magnitude around its default, sizes and weights by factors of two.
LEARNING_RATE, FACTOR_OF_LEARNING_RATE = "training.learning_rate", 10.0
HALVED_AND_DOUBLED = ("network.latent", "objective.beta")


def space_of(recipe: Recipe, given: Space | None = None, fixed: Collection[str] = ()) -> dict[str, Dimension]:
    """What a search goes over.

    Args:
        recipe: With its options set.
        given: Takes the place of the recipe's own space.
        fixed: Options that the user has set, which are left out.

    Raises:
        OptionError: If an entry does not fit the recipe, or nothing is left.
    """
    space = dict(given or recipe.search or common_space(recipe))
    _check(space, recipe)
    left = {name: dimension for name, dimension in space.items() if not _is_fixed(name, dimension, fixed)}
    if not left:
        raise OptionError(f"recipe '{recipe.name}': nothing is left to search, as {', '.join(space)} are all set")
    return left


def common_space(recipe: Recipe) -> dict[str, Dimension]:
    """A space for any recipe, out of the options that it has."""
    values, space = recipe.values, dict[str, Dimension]()
    if rate := values.get(LEARNING_RATE):
        space[LEARNING_RATE] = Span(_rounded(rate / FACTOR_OF_LEARNING_RATE), _rounded(rate * 10), log=True)
    for name in HALVED_AND_DOUBLED:
        if value := values.get(name):
            half = max(value // 2, 1) if isinstance(value, int) else value / 2
            space[name] = Choices(tuple(dict.fromkeys((half, value, 2 * value))))
    if not space:
        raise OptionError(f"recipe '{recipe.name}' has no search space; write one and give it by --space FILE")
    return space


def _rounded(value: float) -> float:
    """Without the digits that only binary fractions have."""
    return float(f"{value:.6g}")


def space_yaml(space: Space) -> str:
    """The space as a YAML file to edit."""
    import yaml

    def dumped(name: str, plain: Any) -> str:
        return yaml.safe_dump({name: plain}, default_flow_style=None, sort_keys=False, width=110)

    return "".join(dumped(name, plain) for name, plain in to_plain(space).items())


def read_space(file: Path) -> Any:
    """What a YAML file holds, numbers such as ``1e-4`` included.

    Raises:
        OptionError: If it cannot be read.
    """
    from sanoscope.recipe import with_numbers
    from sanoscope.yaml_file import read_yaml

    return with_numbers(read_yaml(file, "a search space, of which --show-space prints an example"))


def _check(space: Space, recipe: Recipe) -> None:
    seen: dict[str, str] = {}
    options = recipe.options
    for name, dimension in space.items():
        for option in dimension.option_names(name):
            if option not in options:
                raise OptionError(
                    f"search space: recipe '{recipe.name}' has no option '{option}'; {nearest(option, list(options))}"
                )
            if option in SETTLED:
                raise OptionError(f"search space: '{option}' chooses the images and cannot be searched; use --set")
            if option in seen:
                raise OptionError(f"search space: '{option}' is in '{seen[option]}' and in '{name}'; leave one out")
            seen[option] = name
        for settings in dimension.settings(name):
            for option, value in settings.items():
                _check_value(name, dimension, value, recipe, option)


def _check_value(name: str, dimension: Dimension, value: Any, recipe: Recipe, option: str) -> None:
    try:
        checked = recipe.options[option].check(option, value)
    except OptionError as error:
        raise OptionError(f"search space, '{name}': {error}") from error
    if isinstance(dimension, Span) and isinstance(checked, int) != dimension.integer:
        whole = "only whole numbers: add integer: true" if isinstance(checked, int) else "any number: leave out integer"
        raise OptionError(f"search space: '{name}' takes {whole}")


def _is_fixed(name: str, dimension: Dimension, fixed: Collection[str]) -> bool:
    names = dimension.option_names(name)
    free = [option for option in names if option not in fixed]
    if free and len(free) < len(names):
        tied = next(option for option in names if option in fixed)
        raise OptionError(
            f"option '{tied}' is set, but '{name}' of the search space varies it together with {', '.join(free)}; "
            "set these too, or give another space"
        )
    return not free
