"""Budgets: what they are called, what they shorten, and that they say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanoscope.errors import OptionError
from sanoscope.recipes import RECIPES, get_recipe
from sanoscope.studies.budget import LENGTHS, Budget

shares = st.floats(0.001, 1)


def test_ways_to_say_it() -> None:
    assert Budget.parse("full") == Budget()
    assert Budget.parse("0.1") == Budget(epochs=0.1, data=0.1)
    assert Budget.parse("epochs=0.1, seeds=2") == Budget(epochs=0.1, seeds=2)
    assert Budget.parse("small", {"epochs": 0.2, "size": 0.5}) == Budget(epochs=0.2, size=0.5)
    assert Budget.parse("small") == Budget(epochs=0.1, data=0.1, seeds=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiny", "--budget tiny: give 'full', 'small'"),
        ("0", "must be above 0"),
        ("2", "at most 1"),
        ("nan", "must be above 0"),
        ("epoch=0.1", "did you mean 'epochs'?"),
        ("epochs=a", "give 'full'"),
        ("seeds=-1", "must be a whole number"),
        ("seeds=1.5", "must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Budget.parse(text)


@given(shares, st.sampled_from(sorted(RECIPES)))
def test_lengths_shrink_by_the_share_and_nothing_else_changes(share: float, name: str) -> None:
    recipe = get_recipe(name)
    shortened = Budget(epochs=share).applied(recipe)
    for option, value in recipe.values.items():
        if option in LENGTHS and value:
            assert shortened[option] == max(1, round(value * share))
        else:
            assert shortened[option] == value


def test_images_shrink_to_what_networks_halve() -> None:
    recipe = get_recipe("vae").preset("paper")
    assert Budget(size=0.43).applied(recipe)["preparation.image_size"] == 96
    assert Budget(size=0.01).applied(recipe)["preparation.image_size"] == 32
    assert Budget().applied(recipe) == recipe


def test_it_is_told_in_words() -> None:
    assert Budget().describe(3) == "all of the protocol"
    assert Budget(epochs=0.025, test=0.5, seeds=1).describe(3) == (
        "2.5 % of the training's length, 50 % of the test side, 1 of 3 seeds"
    )
    assert Budget(seeds=3).describe(3) == "all of the protocol"
    assert Budget(seeds=2).seeds_of((4, 5, 6)) == (4, 5)
    assert Budget().seeds_of((4, 5, 6)) == (4, 5, 6)
