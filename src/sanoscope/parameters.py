"""How large the networks of a recipe are, before anything is trained."""

from __future__ import annotations

from typing import NamedTuple

import torch

from sanoscope.calibration import build_scoring
from sanoscope.networks.network import Network, parameter_count
from sanoscope.recipe import Recipe
from sanoscope.scoring.scored import Scoring


class ParameterCounts(NamedTuple):
    """Numbers of weights.

    Attributes:
        training: Of everything that is trained, or kept frozen beside it.
        inference: Of what the deciding map and score need.
        frozen: Of those that are kept as they are, trained parts beside them or not.
    """

    training: int
    inference: int
    frozen: int


def count_parameters(recipe: Recipe, in_channels: int | None = None) -> ParameterCounts:
    """The counts of a recipe at its own image size; nothing is allocated.

    Args:
        recipe: With its options set.
        in_channels: Of the images; where None, one if they are made grey and three if not.

    Raises:
        OptionError: If the network cannot be built at that size.
    """
    channels = in_channels or (1 if recipe["preparation.channels"] == "grey" else 3)
    with torch.device("meta"):
        network = recipe.build("network", in_channels=channels, image_size=recipe["preparation.image_size"])
    return counts_of(network, build_scoring(recipe, {}))


def counts_of(network: Network, scoring: Scoring) -> ParameterCounts:
    """The counts of a network with what scores by it."""
    used = {parameter for module in scoring.used(network) for parameter in module.parameters()}
    frozen = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    return ParameterCounts(parameter_count(network), sum(parameter.numel() for parameter in used), frozen)
