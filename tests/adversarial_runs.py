"""Small trainings against a critic, of brain phantoms without lesions in 16 pixels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sanoscope.cases.phantoms import brain_phantoms
from sanoscope.networks.critics import build_critic
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.objectives.adversarial import AdversarialELBO
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe
from sanoscope.training.module import TrainingModule
from sanoscope.training.plain import PlainTraining, Surroundings

# Of ten training images, in batches of four, three steps an epoch.
TRAINED, STEPS = 10, 3
CRITICS = {"dcgan": "discriminator", "wgan-gp": "wasserstein"}


@cache
def healthy() -> tuple[Preparation, Pictures, Pictures]:
    """The preparation, ten pictures to train on and four for validation."""
    options = {"preparation.image_size": 16, "preparation.intensity": "unit"}
    preparation: Preparation = get_recipe("conv-vae").with_options(options).build("preparation")
    normals = brain_phantoms(subjects=6, slices_per_subject=6, size=64, seed=1).cases().where(lambda it: it.label == 0)
    return preparation, preparation.fit(normals[:TRAINED]), preparation.decode(normals[-4:])


def network(game: str, **options: Any) -> LightAutoencoder:
    """An autoencoder of 16 pixels, with the critic that a game has; ``none`` has none."""
    torch.manual_seed(0)
    built = LightAutoencoder(1, 16, **({"latent": 6, "bias": True} | options))
    built.critic = build_critic(CRITICS.get(game, "none"), 1, 16)
    return built


def objective(game: str, **options: Any) -> AdversarialELBO:
    """Binary cross-entropy and KL, sums, in a game against a critic."""
    settings = {"reconstruction": "bce", "reduction": "sum", "beta": 1.0, "adversarial": 1.0, "features": 0.0}
    return AdversarialELBO(**(settings | {"game": game, "penalty": 10.0} | options))


def run(
    training: PlainTraining,
    trained: LightAutoencoder,
    loss: Any,
    folder: Path | None = None,
    resume: bool = False,
    seed: int = 3,
) -> list[dict[str, float]]:
    """Train a network in place; its history."""
    preparation, pictures, held_out = healthy()
    surroundings = Surroundings(folder, seed, "cpu", resume, quiet=True, checkpoint_seconds=0)
    return training.run(trained, loss, preparation.intensity, pictures, held_out, surroundings)


def interrupt(patch: pytest.MonkeyPatch, module: type[TrainingModule], at: int) -> None:
    """Let the training break off before a step, counted from 0."""
    step, taken = module.training_step, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken > at:
            raise InterruptedError
        return step(*arguments)

    patch.setattr(module, "training_step", interrupted)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether all weights and statistics are bit by bit the same."""
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The history without how long it took."""
    return [{**row, "seconds": 0} for row in history]
