"""PatchCore: remember features of places, and of these the few that are close to all; Roth et al., arXiv:2106.08265."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.training.coreset import greedy_centres, projected
from sanoscope.training.frozen_features import FrozenFeatureTraining, passes
from sanoscope.training.kept_features import PreparedPictures


class PatchTraining(FrozenFeatureTraining):
    """Keep some features of places, ``patches`` ``(M, L)``: greedy centres of all, or of a random part of them.

    Args:
        neighbourhood: See ``Embedding.places``; of scoring too.
        share: Share of the places looked at that is kept.
        most_places: Places that are looked at: where there are more, as many at random in each image. They are all
            in memory at once, with 4 bytes for each of their L features.
        most_patches: Places that are kept, at most.
        projection: Dimensions of the random projection that centres are chosen in; 0 takes all features.
    """

    def __init__(self, neighbourhood: int, share: float, most_places: int, most_patches: int, projection: int) -> None:
        self.neighbourhood = neighbourhood
        self.share = share
        self.most_places = most_places
        self.most_patches = most_patches
        self.projection = projection

    def learn(self, network: Embedding, images: PreparedPictures, generator: torch.Generator) -> dict[str, Tensor]:
        """See ``FrozenFeatureTraining``."""
        # Evenly, where there are more images than places to look at.
        chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), self.most_places)).round().astype(int))
        each = max(self.most_places // len(chosen), 1)
        looked_at = torch.cat(
            [some for batch in passes(images, chosen) for some in self._places(network, batch, each, generator)]
        )
        count = min(max(math.ceil(self.share * len(looked_at)), 1), self.most_patches, len(looked_at))
        centres = greedy_centres(projected(looked_at, self.projection, generator), count, generator)
        return {"patches": looked_at[centres]}

    def _places(self, network: Embedding, images: Tensor, each: int, generator: torch.Generator) -> list[Tensor]:
        """For each image features ``(each, L)`` of some places, or of all if there are no more."""
        features = network.places(images, self.neighbourhood).flatten(2).transpose(1, 2)  # (B, P, L)
        if each >= features.shape[1]:
            return list(features)
        return [
            one[torch.randperm(len(one), generator=generator)[:each].sort().values.to(one.device)] for one in features
        ]
