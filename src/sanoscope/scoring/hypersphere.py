"""Scores of Deep SVDD: Ruff et al.: Deep one-class classification."""

from __future__ import annotations

from torch import Tensor

from sanoscope.networks.lenet import LeNet
from sanoscope.objectives.hypersphere import squared_distance
from sanoscope.scoring.scored import Scored, Scoring, deciding_first

SCORES = ("distance",)


class HypersphereScoring(Scoring):
    """Score images by how far their latents are from the centre; it does not say where in the image that comes from.

    Scores: ``distance``, squared, which was trained for.

    Args:
        score: The score that decides.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    def __init__(self, score: str, precision: str) -> None:
        super().__init__(deciding_first("score", score, SCORES, ()), precision)

    def __call__(self, network: LeNet, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``; see ``Scoring``."""
        return Scored({"distance": squared_distance(self.latents(network, images), network.centre)}, {})
