"""Scores and maps of an energy: Zhai et al.: Deep structured energy based models for anomaly detection."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.networks.energy import EnergyNetwork
from sanoscope.scoring.scored import MAP_SCORES, Scored, Scoring, deciding_first, inside_only, map_score

SCORES = ("energy", "reconstruction", *MAP_SCORES)


class EnergyScoring(Scoring):
    """Score images by their energy, or by how far its slope would move them.

    Scores: ``energy``, which may be negative; ``reconstruction``, the length of the gradient ``‖∂E/∂x‖``; ``map-mean``
    and ``map-max``. Map: ``squared-error``, the gradient's square, mean over channels.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    map_names = ("squared-error",)

    def __init__(self, score: str, also: str, precision: str) -> None:
        super().__init__(deciding_first("score", score, SCORES, SCORES if also == "all" else ()), precision)

    @torch.no_grad()
    def __call__(self, network: EnergyNetwork, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)`` with a network in evaluation mode."""
        reconstructions = network.reconstruct(images)
        errors = (images - reconstructions).square()
        maps = inside_only(errors.mean(1), inside)

        def score(name: str) -> Tensor:
            if name == "energy":
                return network.energy(images)
            return errors.flatten(1).sum(1).sqrt() if name == "reconstruction" else map_score(name, maps, inside)

        return Scored({name: score(name) for name in self.names}, {self.map_names[0]: maps}, reconstructions)

    @torch.no_grad()
    def deciding(self, network: EnergyNetwork, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``."""
        if self.names[0] == "energy":  # which takes no gradient
            return network.energy(images)
        return super().deciding(network, images, inside)
