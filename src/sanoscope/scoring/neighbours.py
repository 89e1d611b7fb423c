"""Scores by the nearest features of normal images; Bergman, Cohen, Hoshen: Deep nearest neighbor anomaly detection."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.networks.feature_networks import LEAST_DEVIATION, SMALLEST
from sanoscope.scoring.embedding import EmbeddingScoring
from sanoscope.scoring.scored import Scored

SCORES = ("mean-distance", "largest-distance", "nearest-distance")
# Numbers that are in memory at once: distances, or differences from those that are near.
TOGETHER = 2**24


class NeighbourScoring(EmbeddingScoring):
    """Score images by how far their features are from those of the nearest training normals.

    Scores, of the k nearest: ``mean-distance``, ``largest-distance``, and ``nearest-distance``, to the nearest alone.
    An image that was learned from is its own nearest neighbour, at a distance of 0. Makes no maps.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        neighbours: How many, k; all features that there are, if fewer.
        distance: ``euclidean``; ``standardised``, after dividing each feature by its deviation among those remembered;
            or ``cosine``, between features of length 1.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    def __init__(self, score: str, also: str, neighbours: int, distance: str, precision: str) -> None:
        super().__init__(SCORES, score, also, precision)
        self.neighbours = neighbours
        self.distance = distance

    @torch.inference_mode()
    def __call__(self, network: Embedding, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``."""
        features, remembered = network.encode(images)[0], network.memory.get_buffer("features")
        distances, _ = nearest(*self._compared(features, remembered), self.neighbours)
        values = {
            "mean-distance": distances.mean(1),
            "largest-distance": distances[:, -1],
            "nearest-distance": distances[:, 0],
        }
        return Scored({name: values[name] for name in self.names}, {})

    def _compared(self, features: Tensor, remembered: Tensor) -> tuple[Tensor, Tensor]:
        if self.distance == "cosine":
            return F.normalize(features), F.normalize(remembered)
        if self.distance == "standardised":
            deviation = remembered.std(0, correction=0)
            scale = deviation.clamp(min=max(LEAST_DEVIATION * float(deviation.mean()), SMALLEST))
            return features / scale, remembered / scale
        return features, remembered


def nearest(points: Tensor, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest of other points, from the nearest on; a few points at a time, so that memory is bounded.

    Args:
        points: ``(Q, D)`` float32.
        others: ``(M, D)`` float32.
        count: How many; M if there are no more.

    Returns:
        Euclidean distances ``(Q, count)``, and the numbers ``(Q, count)`` of the points that they are to.
    """
    count = min(count, len(others))
    distances, numbers = [], []
    # Candidates come from matrix products, whose rounding grows with the points' lengths: less of it about the mean.
    centre = others.mean(0)
    centred = others - centre
    with torch.autocast(points.device.type, enabled=False):
        for some in points.split(max(TOGETHER // max(len(others), count * points.shape[1]), 1)):
            found = torch.cdist(some - centre, centred).topk(count, dim=1, largest=False).indices
            exact, order = (others[found] - some[:, None]).square().sum(2).sqrt().sort(dim=1)
            distances.append(exact)
            numbers.append(found.gather(1, order))
    return torch.cat(distances), torch.cat(numbers)
