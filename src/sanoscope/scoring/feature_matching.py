"""Schlegl et al.: f-AnoGAN (scores that compare what a critic sees in an image and in its reconstruction)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.critics import Critic
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.adversarial import feature_error
from sanoscope.objectives.logit_elbo import reconstruction_error
from sanoscope.scoring.look import Look
from sanoscope.scoring.residual import ResidualScoring

# Beside those of every ``MapScoring``.
FEATURE_SCORES = ("features", "residual-and-features")


class FeatureMatchingScoring(ResidualScoring):
    """Scores by the critic beside the usual ones: ``features`` and ``residual-and-features``.

    The first is the mean squared error of the critic's features, the second the mean squared error of pixels and κ
    times the first.

    Args:
        features: κ, the weight of the features' error.
        shared: See ``ResidualScoring``.
    """

    def __init__(self, features: float = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.features = features

    @classmethod
    def known_scores(cls, beta: float | None) -> tuple[str, ...]:
        """See ``MapScoring.known_scores``."""
        return (*super().known_scores(beta), *FEATURE_SCORES)

    def used(self, network: LogitAutoencoder) -> list[nn.Module]:
        """See ``Scoring.used``; the critic too, where its features decide."""
        others = super().used(network)
        return [*others, network.critic] if network.critic and self.names[0] in FEATURE_SCORES else others

    def score(self, name: str, look: Look, maps: dict[str, Tensor]) -> Tensor:
        """See ``MapScoring.score``."""
        if name not in FEATURE_SCORES:
            return super().score(name, look, maps)
        error = _feature_error(look)
        if name == "features":
            return error
        return reconstruction_error(look.images, look.logits, "l2") + self.features * error


@torch.no_grad()
def _feature_error(look: Look) -> Tensor:
    critic = look.network.critic
    if not isinstance(critic, Critic):
        raise OptionError(
            f"scoring.score={' and '.join(FEATURE_SCORES)} need a critic, which the network does not have; "
            "set scoring.also=none and another scoring.score, or train with another network.critic than none"
        )
    return feature_error(critic.features(look.images), critic.features(look.reconstruction))
