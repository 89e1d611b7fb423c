"""Deep nearest neighbours: remember the features of normal images; Bergman, Cohen, Hoshen, arXiv:2002.10445."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.training.frozen_features import FrozenFeatureTraining, passes
from sanoscope.training.kept_features import PreparedPictures


class NeighbourTraining(FrozenFeatureTraining):
    """Keep the features of training normals as they are: ``features`` ``(M, L)``.

    Args:
        most_images: Of more, so many are chosen at random, as density is what distances to neighbours measure: a
            subset that covers the features evenly would lose it.
    """

    def __init__(self, most_images: int) -> None:
        self.most_images = most_images

    def learn(self, network: Embedding, images: PreparedPictures, generator: torch.Generator) -> dict[str, Tensor]:
        """See ``FrozenFeatureTraining``."""
        chosen = torch.randperm(len(images), generator=generator)[: self.most_images].sort().values.numpy()
        return {"features": torch.cat([network.encode(batch)[0] for batch in passes(images, chosen)])}
