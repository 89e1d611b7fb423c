"""From a recipe and the pictures of training normals to a trained network."""

from __future__ import annotations

import time
from typing import Any

import torch

from sanoscope.calibration import build_postprocessing, build_scoring
from sanoscope.errors import OptionError
from sanoscope.networks.network import Network
from sanoscope.parameters import counts_of
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.training.batches import derived_seed
from sanoscope.training.plain import Surroundings
from sanoscope.training.processes import Processes


def require_sound(recipe: Recipe) -> None:
    """Build what a recipe needs only after its training: what that refuses is better known before.

    Raises:
        OptionError: If options do not go together.
    """
    build_scoring(recipe, {})
    build_postprocessing(recipe)
    for part in ("objective", "training", "decision"):
        if part in recipe.parts:
            recipe.build(part)


def new_network(recipe: Recipe, preparation: Preparation, seed: int, **context: Any) -> Network:
    """The network of a recipe for prepared images, before it is trained.

    Args:
        recipe: With its options set.
        preparation: Fitted.
        seed: Of the initial weights.
        context: What else only the caller knows, such as how many classes there are.

    Raises:
        ModelError: If published weights cannot be had.
        OptionError: If the images' size does not fit.
    """
    assert preparation.form_ is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed))
        network: Network = recipe.build(
            "network", in_channels=preparation.form_.channels, image_size=preparation.image_size, **context
        )
        network.initialise()
    return network


def require_trainable(recipe: Recipe, network: Network, processes: Processes) -> None:
    """See that a training can be done by so many processes.

    Raises:
        OptionError: If it is one for a single process.
    """
    reason = recipe.build("training").one_process(network)
    if processes.several and reason:
        raise OptionError(
            f"recipe '{recipe.name}' cannot be trained on {processes.count} devices, as {reason}; leave out --devices "
            "and --nodes"
        )


def train(
    recipe: Recipe,
    network: Network,
    preparation: Preparation,
    pictures: Pictures,
    held_out: Pictures,
    surroundings: Surroundings,
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Train a network in place.

    Args:
        recipe: With its options set.
        network: As initialised.
        preparation: Fitted.
        pictures: Of training normals.
        held_out: Its normals are validated on.
        surroundings: Folder, seed, device.

    Returns:
        One row of metrics for each epoch, and what the provenance says of the training.

    Raises:
        TrainingError: If the loss runs away, or there is too little to train on.
    """
    begun = time.monotonic()
    normals = held_out.subset([i for i, case in enumerate(held_out.cases) if case.label != 1])
    training = recipe.build("training")
    history: list[dict[str, float]] = training.run(
        network,
        # What is learned in closed form has none.
        recipe.build("objective") if "objective" in recipe.parts else None,
        preparation.intensity,
        pictures,
        normals,
        surroundings,
        preparation.augmentation,
    )
    counts = counts_of(network, build_scoring(recipe, {}))
    processes = surroundings.processes
    return history, {
        "seconds": round(time.monotonic() - begun, 1),
        "epochs": len(history),
        "validated after iteration": training.judged_after,
        "parameters": counts.training,
        "parameters in inference": counts.inference,
        **({"processes": processes.count} if processes.several else {}),
    }
