"""Losses of an autoencoder and what judges its images: Goodfellow et al., 2014; Gulrajani et al., 2017 (WGAN-GP)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.logit_elbo import LogitELBO


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``½ BCE(D(x), 1) + ½ BCE(D(x̂), 0)``, means over the batch, of logits ``(B,)`` each."""
    return 0.5 * (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """``BCE(D(x̂), 1)``, the mean over the batch, of logits ``(B,)``."""
    return F.softplus(-fake.float()).mean()


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``D(x̂) − D(x)``, means over the batch, of a critic's values ``(B,)`` each."""
    return fake.float().mean() - real.float().mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """``−D(x̂)``, the mean over the batch, of a critic's values ``(B,)``."""
    return -fake.float().mean()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """``(‖g‖ − 1)²``, the mean over the batch, of a critic's gradient ``(B, …)`` by what it judges."""
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)  # (B,)
    return (norm - 1).square().mean()


def feature_error(real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared error over each image's features: ``(B, K, h, w)`` twice to ``(B,)``."""
    return (real.float() - fake.float()).square().flatten(1).mean(1)


class Game(NamedTuple):
    """What the two sides minimise.

    Attributes:
        critic: Loss of what judges, of its judgements ``(B,)`` of real and fake images.
        generator: Loss of what makes the fake images, of their judgements ``(B,)``.
        penalised: Whether the critic's gradient is held near 1.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    penalised: bool


GAMES = {
    "dcgan": Game(discriminator_loss, generator_loss, penalised=False),
    "wgan-gp": Game(wasserstein_critic_loss, wasserstein_generator_loss, penalised=True),
}


class AdversarialGame:
    """A game against a critic, which is all that a generator of images from noise is trained for.

    Args:
        game: One of ``GAMES``.
        penalty: Weight of the gradient penalty, in a game that has one.
    """

    drift = 0.0

    def __init__(self, game: str = "dcgan", penalty: float = 0.0) -> None:
        self.game = GAMES[game]
        self.penalty = penalty


class AgainstCritic(AdversarialGame, ABC):
    """What a critic adds to the loss of what makes images: a game against it, and feature matching.

    Args:
        game: See ``AdversarialGame``.
        adversarial: Weight of the generator's loss in the game; 0 leaves it out.
        features: Weight of the error of the critic's features; 0 leaves it out.
        penalty: See ``AdversarialGame``.
    """

    def __init__(self, game: str, adversarial: float, features: float, penalty: float) -> None:
        super().__init__(game, penalty)
        self.adversarial = adversarial
        self.features = features

    @abstractmethod
    def __call__(self, *given: Any) -> Terms:
        """The terms without what the critic adds."""

    def with_adversarial(self, terms: Terms, fake: Tensor) -> Terms:
        """The terms with the generator's loss, of the judgements ``(B,)`` of reconstructions."""
        return added(terms, "adversarial", self.adversarial, self.game.generator(fake))

    def with_features(self, terms: Terms, real: Tensor, fake: Tensor) -> Terms:
        """The terms with the error of features ``(B, K, h, w)`` of images and of their reconstructions."""
        return added(terms, "features", self.features, feature_error(real, fake).mean())


class AdversarialELBO(LogitELBO, AgainstCritic):
    """The negative ELBO, or reconstruction error, with what a critic adds.

    Args:
        reconstruction: See ``LogitELBO``, as ``reduction`` and ``beta``.
        reduction: See there.
        game: See ``AgainstCritic``, as all others.
        adversarial: See there.
        features: See there.
        penalty: See there.
        beta: See ``LogitELBO``.
    """

    def __init__(
        self,
        reconstruction: str,
        reduction: str,
        game: str,
        adversarial: float,
        features: float,
        penalty: float,
        beta: float | None = None,
    ) -> None:
        LogitELBO.__init__(self, reconstruction, reduction, beta)
        AgainstCritic.__init__(self, game, adversarial, features, penalty)


def added(terms: Terms, name: str, weight: float, value: Tensor) -> Terms:
    """The terms with a further one of some weight in the loss."""
    loss = terms.loss + weight * value
    return Terms(loss, terms.logged | {"loss": loss.detach(), name: value.detach()})
