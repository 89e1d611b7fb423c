"""Every named method, by name; one module a paper. Adding a method is adding it to its paper's ``RECIPES``."""

from __future__ import annotations

from sanoscope.errors import OptionError, nearest
from sanoscope.recipe import Recipe
from sanoscope.recipes import (
    beta_vae,
    brain_autoencoders,
    brain_gans,
    brain_maps,
    constrained_attention,
    deep_energy,
    deep_geo,
    deep_isolation_forest,
    deep_perceptual,
    deep_svdd,
    frozen_features,
    histopathology_autoencoders,
    histopathology_vae,
    image_gans,
    piad,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *histopathology_vae.RECIPES,
        *beta_vae.RECIPES,
        *constrained_attention.RECIPES,
        *brain_autoencoders.RECIPES,
        *brain_gans.RECIPES,
        *brain_maps.RECIPES,
        *deep_perceptual.RECIPES,
        *frozen_features.RECIPES,
        *deep_isolation_forest.RECIPES,
        *deep_geo.RECIPES,
        *deep_svdd.RECIPES,
        *deep_energy.RECIPES,
        *piad.RECIPES,
        *image_gans.RECIPES,
        *histopathology_autoencoders.RECIPES,
    )
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, with its defaults.

    Raises:
        OptionError: If there is none; the nearest name is in the message.
    """
    if name not in RECIPES:
        raise OptionError(f"no recipe '{name}'; {nearest(name, list(RECIPES))}")
    return RECIPES[name]
