"""Recipes: options that are checked, and declarations that fit what they build."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sanoscope.errors import OptionError
from sanoscope.recipe import PARTS, Option, Part, Recipe, flatten, parse_options
from sanoscope.recipes import RECIPES, get_recipe

# What a part is given beside its options, by who builds it: the data's form, or the other parts.
CONTEXT: dict[str, dict[str, Any]] = {"network": {"in_channels": 1}}

every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@pytest.fixture
def recipe() -> Recipe:
    options = {
        "size": Option(64, "a number", "why", minimum=8),
        "rate": Option(0.5, "a share", "why", minimum=0),
        "colour": Option("grey", "a choice", "why", choices=("grey", "rgb")),
        "deep": Option(False, "a switch", "why"),
        "weights": Option(None, "a file", "why", kind=str),
        "widths": Option((32, 64), "whole numbers", "why", minimum=1),
        "levels": Option((1.0, 99.0), "numbers", "why"),
    }
    return Recipe("toy", "A toy", "Nobody", {"network": Part("sanoscope.errors:nearest", options)})


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("size", 8, 8),
        ("rate", 1, 1.0),
        ("rate", 0.0, 0.0),
        ("colour", "rgb", "rgb"),
        ("deep", True, True),
        ("weights", "resnet34.pth", "resnet34.pth"),
        ("weights", None, None),
        ("widths", [1, 2, 3], (1, 2, 3)),
        ("levels", [0.5, 99.5], (0.5, 99.5)),
        ("levels", [1, 99], (1.0, 99.0)),
    ],
)
def test_option_takes_values_of_its_type(recipe: Recipe, name: str, value: Any, stored: Any) -> None:
    changed = recipe.with_options({f"network.{name}": value})
    assert changed[f"network.{name}"] == stored
    assert repr(changed[f"network.{name}"]) == repr(stored)  # an int is not a float, a list not a tuple
    assert changed.settings("network")[name] == stored
    assert recipe[f"network.{name}"] == recipe.options[f"network.{name}"].default


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", "big", "'network.size' takes a value of type int, not 'big'"),
        ("size", 64.0, "type int"),
        ("size", True, "type int"),
        ("size", None, "type int"),
        ("size", [64], "type int"),
        ("size", 7, "must be at least 8, not 7"),
        ("rate", "0.5", "type float"),
        ("rate", False, "type float"),
        ("rate", -0.1, "must be at least 0, not -0.1"),
        ("rate", math.inf, "finite"),
        ("rate", math.nan, "finite"),
        ("levels", [1.0, math.nan], "finite"),
        ("colour", "gray", "did you mean 'grey'"),
        ("colour", "x", "known: grey, rgb"),
        ("deep", 1, "type bool"),
        ("weights", 3, "type str"),
        ("widths", 32, r"a list such as \[32, 64\], not 32"),
        ("widths", [], "a list such as"),
        ("widths", [32, "64"], "a list such as"),
        ("widths", [32, 1.5], "a list such as"),
        ("widths", [True], "a list such as"),
        ("widths", [32, 0], "must be at least 1"),
        ("levels", [False, 1.0], "a list such as"),
    ],
)
def test_option_refuses_others_by_name(recipe: Recipe, name: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        recipe.with_options({f"network.{name}": value})
    assert f"'network.{name}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_option_names_the_nearest() -> None:
    recipe = get_recipe("conv-vae")
    for written, meant in [
        ("network.laten", "network.latent"),
        ("training.learning-rate", "training.learning_rate"),
    ]:
        with pytest.raises(OptionError, match=f"'conv-vae' has no option '{written}'; did you mean '{meant}'"):
            recipe.with_options({written: 1})
    with pytest.raises(OptionError, match=r"known: .*network.latent.*decision.rule"):
        recipe["xyz"]
    with pytest.raises(OptionError, match="no recipe 'conv-vea'; did you mean 'conv-vae'"):
        get_recipe("conv-vea")


def test_nested_mappings_are_flattened() -> None:
    written = yaml.safe_load("network: {latent: 8, widths: [4, 8]}\ntraining:\n  epochs: 2\nobjective.beta: 2\n")
    recipe = get_recipe("conv-vae").with_options(written)
    assert recipe.changes == {
        "network.latent": 8,
        "network.widths": (4, 8),
        "training.epochs": 2,
        "objective.beta": 2.0,
    }
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e.f": 2}) == {"a.b.c": 1, "e.f": 2}


def test_later_changes_add_to_earlier_ones() -> None:
    recipe = get_recipe("conv-vae").with_options({"network.latent": 8, "training.epochs": 1})
    again = recipe.with_options({"network.latent": 16})
    assert (again["network.latent"], again["training.epochs"]) == (16, 1)
    assert (recipe["network.latent"], get_recipe("conv-vae")["network.latent"]) == (8, 64)


def test_presets_are_options_with_a_name(recipe: Recipe) -> None:
    with pytest.raises(OptionError, match="recipe 'toy' has no presets, only options; leave out 'paper'"):
        recipe.preset("paper")
    named = replace(recipe, presets={"paper": {"network.size": 16}, "wrong": {"network.siz": 16}})
    assert named.preset("paper").changes == {"network.size": 16}
    more = named.with_options({"network.deep": True}).preset("paper").with_options({"network.size": 32})
    assert more.changes == {"network.size": 32, "network.deep": True}
    with pytest.raises(OptionError, match="recipe 'toy' has no preset 'papr'; did you mean 'paper'"):
        named.preset("papr")
    with pytest.raises(OptionError, match=r"no option 'network.siz'"):
        named.preset("wrong")


@every_recipe
def test_every_preset_is_of_known_options(recipe: Recipe) -> None:
    for name, options in recipe.presets.items():
        values = recipe.preset(name).values
        assert {key: values[key] for key in options} == options


def test_assignments_are_read_as_yaml() -> None:
    assignments = ["a.b=1e-5", "x=[1,2]", "y=[1e-3, 2]", "t=true", "n=null", "s=a=b", " w = 0.5", "i=-3"]
    options = parse_options(assignments)
    assert options == {
        "a.b": 1e-5,
        "x": [1, 2],
        "y": [1e-3, 2],
        "t": True,
        "n": None,
        "s": "a=b",
        "w": 0.5,
        "i": -3,
    }
    assert isinstance(options["x"][0], int)


@pytest.mark.parametrize("assignment", ["latent", "=3", " =3", "latent=[1,", "latent=a: b: c"])
def test_assignment_that_is_none(assignment: str) -> None:
    with pytest.raises(OptionError, match="--set"):
        parse_options([assignment])


@given(st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_through_assignments(whole: int, number: float) -> None:
    assert parse_options([f"a={whole}", f"b={number!r}"]) == {"a": whole, "b": number}


@every_recipe
def test_recipe_as_json_is_complete(recipe: Recipe) -> None:
    stored = json.loads(json.dumps(recipe.to_json(), allow_nan=False))
    assert stored["name"] == recipe.name
    assert list(stored["options"]) == list(recipe.options)
    plain = Recipe(recipe.name, recipe.title, recipe.paper, recipe.parts).with_options(stored["options"])
    assert plain.values == recipe.values


def test_changes_are_in_the_json() -> None:
    changed = get_recipe("conv-vae").with_options({"network.widths": [8, 16]})
    stored = json.loads(json.dumps(changed.to_json()))["options"]
    assert stored["network.widths"] == [8, 16]
    assert get_recipe("conv-vae").with_options(stored).values == changed.values


@every_recipe
def test_declaration_fits_what_it_builds(recipe: Recipe) -> None:
    assert set(PARTS) - set(recipe.parts) <= {"objective", "postprocessing"}
    # What is learned in closed form minimises nothing, and what does not say where has no maps to process.
    assert ("objective" in recipe.parts) == ("training.batch_size" in recipe.options)
    assert ("postprocessing" in recipe.parts) == bool(recipe.build("scoring").map_names)
    for name, part in recipe.parts.items():
        context = dict(CONTEXT.get(name, {}))
        if name == "network":  # some have layers for one size only
            context["image_size"] = recipe["preparation.image_size"]
        assert not context.keys() & set(part.options), name
        with torch.device("meta") if name == "network" else nullcontext():
            recipe.build(name, **context)


@every_recipe
def test_every_option_says_what_and_whence_and_takes_its_default(recipe: Recipe) -> None:
    assert recipe.title
    assert recipe.paper
    for name, option in recipe.options.items():
        assert option.help, name
        assert option.source, name
        assert option.check(name, option.default) == option.default
        assert "." not in name.split(".", 1)[1]


def test_updated_part_keeps_help_and_source() -> None:
    part = Part(
        "sanoscope.errors:nearest", {"a": Option(1, "what", "whence", minimum=1), "b": Option(2, "other", "why")}
    )
    updated = part.updated(a=5, b=Option(3, "another", "paper"))
    assert updated.options["a"] == Option(5, "what", "whence", minimum=1)
    assert updated.options["b"] == Option(3, "another", "paper")
    assert part.options["a"].default == 1
