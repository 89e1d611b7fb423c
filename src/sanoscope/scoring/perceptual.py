"""Scores and maps of a perceptual autoencoder: Shvetsova et al.: deep perceptual autoencoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.objectives.elbo import absolute_error
from sanoscope.objectives.perceptual import (
    perceptual_error,
    relative_error_map,
    weights_of,
)
from sanoscope.scoring.scored import MAP_SCORES, Scored, Scoring, deciding_first, inside_only, map_score

SCORES = ("perceptual", "l1", "mse", *MAP_SCORES)
MAPS = ("perceptual", "absolute-error")


class PerceptualScoring(Scoring):
    """Score images by what of their features the reconstruction lacks.

    Scores: ``perceptual``, the relative L1 of features that was trained for, and with an L1 term in training its share
    too; ``l1`` and ``mse`` of pixels; ``map-mean`` and ``map-max`` of the deciding map. Maps: ``perceptual``, where the
    relative error comes from, enlarged bilinearly; ``absolute-error`` of pixels, mean over channels.

    Args:
        score: The score that decides.
        map: The map that decides.
        also: ``all`` other scores and maps beside them, or ``none``.
        precision: ``float32``, ``bfloat16`` or ``auto``.
        layer_weights: See ``PerceptualObjective``; the training's.
        l1: Likewise.
    """

    def __init__(
        self,
        score: str,
        map: str,  # the option's natural name
        also: str,
        precision: str,
        layer_weights: Sequence[float],
        l1: float,
    ) -> None:
        super().__init__(deciding_first("score", score, SCORES, SCORES if also == "all" else ()), precision)
        self.map_names = deciding_first("map", map, MAPS, MAPS if also == "all" else ())
        self.layer_weights = layer_weights
        self.l1 = l1

    @torch.inference_mode()
    def __call__(self, network: PerceptualAutoencoder, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)`` with a network in evaluation mode."""
        look = _Look(network, images)
        weights = weights_of(network.layers[0], self.layer_weights)
        maps = {name: inside_only(self._map(name, look, weights), inside) for name in self.map_names}
        scores = {name: self._score(name, look, weights, maps, inside) for name in self.names}
        return Scored(scores, maps, look.reconstructions)

    @torch.inference_mode()
    def deciding(self, network: PerceptualAutoencoder, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``."""
        look = _Look(network, images)
        weights = weights_of(network.layers[0], self.layer_weights)
        name = self.map_names[0]
        needed = self.names[0] in MAP_SCORES
        maps = {name: inside_only(self._map(name, look, weights), inside)} if needed else {}
        return self._score(self.names[0], look, weights, maps, inside)

    def used(self, network: PerceptualAutoencoder) -> list[nn.Module]:
        """See ``Scoring.used``: all but a critic."""
        return [network.encoder, network.decoder, network.perceptual]

    def _score(
        self, name: str, look: _Look, weights: dict[str, float], maps: dict[str, Tensor], inside: Tensor | None
    ) -> Tensor:
        if name in MAP_SCORES:
            return map_score(name, maps[self.map_names[0]], inside)
        if name == "mse":
            return (look.images - look.reconstructions).square().flatten(1).mean(1)
        l1 = absolute_error(look.images, look.reconstructions)
        return l1 if name == "l1" else perceptual_error(*look.features, weights) + self.l1 * l1

    def _map(self, name: str, look: _Look, weights: dict[str, float]) -> Tensor:
        """A map ``(B, H, W)``."""
        if name == "absolute-error":
            return (look.images - look.reconstructions).abs().mean(1)
        features, others = look.features
        parts = [
            weight * _enlarged(relative_error_map(features[layer], others[layer]), look.images.shape[2:])
            for layer, weight in weights.items()
        ]
        return torch.stack(parts).sum(0)


class _Look:
    """Reconstructions of a batch, and its features once they are asked for."""

    def __init__(self, network: PerceptualAutoencoder, images: Tensor) -> None:
        self.network = network
        self.images = images
        self.reconstructions: Tensor = network(images).float()
        self._features: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None

    @property
    def features(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of the images, and of the reconstructions."""
        if self._features is None:
            perceptual, layers = self.network.perceptual, self.network.layers[0]
            self._features = perceptual(self.images, layers), perceptual(self.reconstructions, layers)
        return self._features


def _enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(B, h, w)`` on the image's grid, bilinearly."""
    with torch.autocast(maps.device.type, enabled=False):  # which would carry it out in bfloat16
        return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
