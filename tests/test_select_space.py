"""The search space: from YAML and back, checked against the recipe, without what is fixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from command_line import finished, sanoscope
from sanoscope import RECIPES, get_recipe
from sanoscope.errors import OptionError
from sanoscope.search_space import Bundles, Choices, Span, parse_space, to_plain
from sanoscope.selection.parameters import options_of, space_size
from sanoscope.selection.space import read_space, space_of, space_yaml

RECIPE = get_recipe("conv-vae")
TEXT = """
training.learning_rate: {low: 1e-4, high: 1e-2, log: true}
training.batch_size: {low: 8, high: 64, integer: true}
scoring.score: [mse, elbo]
size:
- {network.latent: 16, network.widths: [16, 16]}
- {network.latent: 32, network.widths: [32, 32]}
"""
SPACE = {
    "training.learning_rate": Span(1e-4, 1e-2, log=True),
    "training.batch_size": Span(8, 64, integer=True),
    "scoring.score": Choices(("mse", "elbo")),
    "size": Bundles(
        (
            {"network.latent": 16, "network.widths": (16, 16)},
            {"network.latent": 32, "network.widths": (32, 32)},
        )
    ),
}


def test_yaml_is_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(TEXT)
    assert parse_space(read_space(tmp_path / "space.yaml")) == SPACE
    assert parse_space(yaml.safe_load(space_yaml(SPACE))) == SPACE
    assert parse_space(to_plain(SPACE)) == SPACE


def test_parameters_become_options() -> None:
    params = {
        "training.learning_rate": 1e-3,
        "training.batch_size": 9,
        "scoring.score": '"elbo"',
        "size": '{"network.latent": 16, "network.widths": [16, 16]}',
    }
    recipe = RECIPE.with_options(options_of(SPACE, params))
    assert [recipe[name] for name in ("training.batch_size", "scoring.score")] == [9, "elbo"]
    assert (recipe["network.latent"], recipe["network.widths"]) == (16, (16, 16))


def test_size_is_the_product() -> None:
    finite = {name: dimension for name, dimension in SPACE.items() if name != "training.learning_rate"}
    assert space_size(finite) == 57 * 2 * 2
    assert space_size(SPACE) == float("inf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a search space is a mapping"),
        ({"network.latent": 32}, "'network.latent' takes a list of values"),
        ({"network.latent": []}, "'network.latent' takes a list of values"),
        ({"training.learning_rate": {"low": 1, "high": 1}}, "low must be below high"),
        ({"training.learning_rate": {"low": 0, "high": 1, "log": True}}, "above 0 with log"),
        ({"training.learning_rate": {"low": 1, "top": 2}}, "takes {low: NUMBER, high: NUMBER}"),
        ({"training.learning_rate": {"low": 1, "high": True}}, "takes {low: NUMBER, high: NUMBER}"),
        ({"size": [{"network.latent": 1}, {"network.widths": [1]}]}, "every bundle of 'size' must set the same"),
        ({"size": [{"network.latent": 1}, 3]}, "every bundle of 'size' must set the same"),
    ],
)
def test_entries_that_are_none(content: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_space(content)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"network.laten": Choices((1, 2))}, "has no option 'network.laten'; did you mean 'network.latent'"),
        ({"size": Bundles(({"network.width": 1},))}, "has no option 'network.width'"),
        ({"network.latent": Choices((8, "many"))}, "'network.latent': option 'network.latent' takes a value of type"),
        ({"training.batch_size": Span(1, 8, integer=True)}, "must be at least 2"),
        ({"network.latent": Span(8, 64)}, "only whole numbers: add integer: true"),
        ({"training.learning_rate": Span(1, 2, integer=True)}, "any number: leave out integer"),
        ({"data.slices": Choices(("all", "central:2"))}, "chooses the images"),
        (
            {"network.latent": Choices((1, 2)), "size": Bundles(({"network.latent": 1},))},
            "'network.latent' is in 'network.latent' and in 'size'",
        ),
    ],
)
def test_what_does_not_fit_the_recipe(space: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        space_of(RECIPE, space)


def test_fixed_options_are_not_searched() -> None:
    assert set(space_of(RECIPE, SPACE, ["scoring.score", "data.fraction"])) == SPACE.keys() - {"scoring.score"}
    assert set(space_of(RECIPE, SPACE, ["network.latent", "network.widths"])) == SPACE.keys() - {"size"}
    with pytest.raises(OptionError, match=r"'network.latent' is set, but 'size' .* together with network.widths"):
        space_of(RECIPE, SPACE, ["network.latent"])
    with pytest.raises(OptionError, match="nothing is left to search"):
        space_of(RECIPE, {"scoring.score": Choices(("mse",))}, ["scoring.score"])


def test_a_recipes_own_space_comes_first_and_a_given_one_before_it() -> None:
    own = {"objective.beta": Choices((1.0, 3.0))}
    recipe = replace(RECIPE, search=own)
    assert space_of(recipe) == own
    assert space_of(recipe, {"network.latent": Choices((1, 2))}) == {"network.latent": Choices((1, 2))}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_space_around_its_values(name: str) -> None:
    recipe = RECIPES[name]
    space = space_of(recipe)
    for dimension_name, dimension in space.items():
        for option in dimension.option_names(dimension_name):
            settings = [one[option] for one in dimension.settings(dimension_name)]
            inside = min(settings) <= recipe[option] <= max(settings) if isinstance(dimension, Span) else True
            assert inside, option


def test_space_is_shown_to_edit(tmp_path: Path) -> None:
    shown = finished("select", "conv-vae", "--show-space", "--set", "network.latent=8").out
    space = parse_space(yaml.safe_load(shown))
    assert space["training.learning_rate"] == Span(1e-4, 1e-2, log=True)
    assert "network.latent" not in space
    (tmp_path / "edited.yaml").write_text("network.latent: [2, 4]")
    edited = finished("select", "conv-vae", "--show-space", "--space", tmp_path / "edited.yaml").out
    assert parse_space(yaml.safe_load(edited)) == {"network.latent": Choices((2, 4))}


def test_data_and_folder_are_asked_for() -> None:
    assert "needs DATA and --out" in sanoscope("select", "conv-vae").error
