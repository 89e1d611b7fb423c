"""Scores and maps by how far the features of each place are from normal ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.embedding import EmbeddingScoring
from sanoscope.scoring.map_reading import smoothed
from sanoscope.scoring.scored import MAP_SCORES, Scored, inside_only, map_score


class PlaceScoring(EmbeddingScoring):
    """Score images by the distances of their places: those are enlarged bilinearly, and smoothed.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        smoothing: σ of the Gaussian over the map, as a share of the image's side; 0 is off.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    scores: ClassVar[tuple[str, ...]] = MAP_SCORES

    def __init__(self, score: str, also: str, smoothing: float, precision: str) -> None:
        super().__init__(self.scores, score, also, precision)
        self.smoothing = smoothing

    @abstractmethod
    def compare(self, network: Embedding, images: Tensor, inside: Tensor | None) -> tuple[Tensor, Mapping[str, Tensor]]:
        """How far images are from what is normal.

        Args:
            network: With what it remembers.
            images: ``(B, C, H, W)``.
            inside: Where is looked for something, ``(B, H, W)`` bool; None everywhere.

        Returns:
            Distances ``(B, h, w)`` of every place, and by name the scores ``(B,)`` that are not taken from the map.
        """

    @torch.inference_mode()
    def __call__(self, network: Embedding, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``."""
        distances, others = self.compare(network, images, inside)
        maps = self._map(distances, images.shape[2:], inside)
        scores = {name: map_score(name, maps, inside) if name in MAP_SCORES else others[name] for name in self.names}
        return Scored(scores, {self.map_names[0]: maps})

    def _map(self, distances: Tensor, size: Sequence[int], inside: Tensor | None) -> Tensor:
        with torch.autocast(distances.device.type, enabled=False):  # which would enlarge in bfloat16
            enlarged = F.interpolate(distances[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
        return inside_only(smoothed(enlarged, inside, self.smoothing * size[0]), inside)
