"""Relative perceptual L1: Shvetsova et al.: Anomaly detection in medical imaging with deep perceptual autoencoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sanoscope.errors import OptionError
from sanoscope.objectives.adversarial import GAMES, added
from sanoscope.objectives.elbo import Terms, absolute_error

# Features of an image that are all but 0 say nothing to divide by; normalised ones of real images are about 1.
LEAST_SIZE = 1e-6

Features = Mapping[str, Tensor]


def relative_error(features: Tensor, others: Tensor) -> Tensor:
    """``mean|f − g| / mean|f|`` of each image's features: ``(B, K, h, w)`` twice to ``(B,)``, from 0.

    The means are over channels and places, so that the ratio does not change with the scale of both. No gradient
    flows through the denominator.
    """
    features = features.float()
    difference = (features - others.float()).abs().flatten(1).mean(1)
    return difference / _size(features)


def relative_error_map(features: Tensor, others: Tensor) -> Tensor:
    """Where the relative error comes from, ``(B, h, w)``; its mean over places is ``relative_error``."""
    features = features.float()
    return (features - others.float()).abs().mean(1) / _size(features)[:, None, None]


def _size(features: Tensor) -> Tensor:
    return features.detach().abs().flatten(1).mean(1).clamp(min=LEAST_SIZE)


def weights_of(layers: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    """The share of each layer in the loss, in all 1; a single weight is that of all.

    Raises:
        OptionError: If there is another number of weights than of layers, or all are 0.
    """
    given = tuple(weights) * len(layers) if len(weights) == 1 else tuple(weights)
    if len(given) != len(layers) or sum(given) <= 0:
        raise OptionError(
            f"objective.layer_weights={list(weights)} do not fit network.layers={list(layers)}; give one for each, "
            "above 0 in sum, or a single one for all"
        )
    return {layer: weight / sum(given) for layer, weight in zip(layers, given, strict=True)}


def perceptual_error(features: Features, others: Features, weights: Mapping[str, float]) -> Tensor:
    """Weighted mean over layers of the relative error, ``(B,)``."""
    errors = [weight * relative_error(features[layer], others[layer]) for layer, weight in weights.items()]
    return torch.stack(errors).sum(0)


class PerceptualObjective:
    """``ℓ + w L1``, means over the batch, where ``ℓ`` is the perceptual error; and the terms of a game, if any.

    Args:
        layer_weights: Of the network's layers; a single one is for all.
        l1: Weight of the mean absolute pixel error.
        adversarial: Weight of the critic's judgement, where the network has one.
        penalty: Weight of the critic's gradient penalty.
        drift: Weight of the critic's squared values, which keeps them near 0.
    """

    game = GAMES["wgan-gp"]

    def __init__(
        self, layer_weights: tuple[float, ...], l1: float, adversarial: float, penalty: float, drift: float
    ) -> None:
        self.layer_weights = layer_weights
        self.l1 = l1
        self.adversarial = adversarial
        self.penalty = penalty
        self.drift = drift

    def __call__(self, error: Tensor, images: Tensor, reconstructions: Tensor) -> Terms:
        """The loss of a batch.

        Args:
            error: Perceptual, ``(B,)``.
            images: ``(B, C, H, W)``.
            reconstructions: Of the same shape.
        """
        perceptual = error.mean()
        terms = Terms(perceptual, {"perceptual": perceptual.detach(), "loss": perceptual.detach()})
        return added(terms, "l1", self.l1, absolute_error(images, reconstructions).mean()) if self.l1 else terms

    def with_adversarial(self, terms: Terms, fake: Tensor) -> Terms:
        """The terms with the generator's loss, of the judgements ``(B,)`` of reconstructions."""
        return added(terms, "adversarial", self.adversarial, self.game.generator(fake))
