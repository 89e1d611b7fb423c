"""Scores and maps of PatchCore: distances of places to the nearest remembered one; Roth et al., arXiv:2106.08265."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.neighbours import nearest
from sanoscope.scoring.places import PlaceScoring
from sanoscope.scoring.scored import MAP_SCORES


class PatchScoring(PlaceScoring):
    """Score images by the place whose features are farthest from all that are remembered.

    Map: ``distance``, to the nearest remembered features. Scores: ``reweighted``, the greatest distance inside, the
    less the nearer the same place is to what is remembered around its nearest features; ``map-max``, ``map-mean``.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        neighbours: Remembered features, the nearest and those around it, that a place's distances are weighed by.
        neighbourhood: The training's, see ``PatchTraining``.
        smoothing: See ``PlaceScoring``.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    scores = ("reweighted", *MAP_SCORES)
    map_names = ("distance",)

    def __init__(
        self, score: str, also: str, neighbours: int, neighbourhood: int, smoothing: float, precision: str
    ) -> None:
        super().__init__(score, also, smoothing, precision)
        self.neighbours = neighbours
        self.neighbourhood = neighbourhood

    def compare(self, network: Embedding, images: Tensor, inside: Tensor | None) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Distances ``(B, h, w)`` to the nearest remembered features, and ``reweighted``; see ``PlaceScoring``."""
        features = network.places(images, self.neighbourhood)  # (B, L, h, w)
        points = features.permute(0, 2, 3, 1).flatten(0, 2)  # (B · h · w, L)
        remembered = network.memory.get_buffer("patches")
        found = nearest(points, remembered, 1)
        distances, numbers = (one.view(len(images), *features.shape[2:]) for one in found)
        if "reweighted" not in self.names:
            return distances, {}
        looked_at = distances if inside is None else distances * _mostly(inside, features)
        farthest = looked_at.flatten(1).argmax(1, keepdim=True)  # (B, 1)
        distance, number = (one.flatten(1).gather(1, farthest)[:, 0] for one in (looked_at, numbers))
        point = features.flatten(2).gather(2, farthest[:, None].expand(-1, features.shape[1], 1))[..., 0]  # (B, L)
        return distances, {"reweighted": distance * self._weights(point, number, remembered)}

    def _weights(self, points: Tensor, numbers: Tensor, remembered: Tensor) -> Tensor:
        """Weights ``(B,)`` of distances from points ``(B, L)`` to the remembered features of these numbers ``(B,)``.

        1 less the softmax of the distance to the nearest among the distances to all around that one.
        """
        around = remembered[nearest(remembered[numbers], remembered, self.neighbours)[1]]  # (B, k, L)
        distances = (around - points[:, None]).norm(dim=2)
        # The nearest comes first among those around it, as it is there itself.
        return 1 - F.softmax(distances, dim=1)[:, 0]


def _mostly(inside: Tensor, features: Tensor) -> Tensor:
    """Places ``(B, h, w)`` of features ``(B, L, h, w)`` that are at least half inside ``(B, H, W)``."""
    height, width = features.shape[2:]
    return F.adaptive_avg_pool2d(inside[:, None].float(), (height, width))[:, 0] >= 0.5
