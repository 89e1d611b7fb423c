"""Scores and maps of PaDiM: Mahalanobis distances at every place; Defard et al., arXiv:2011.08785."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.places import PlaceScoring


class MahalanobisScoring(PlaceScoring):
    """Score images by how unlikely their features are where they are.

    Map: ``mahalanobis``. Scores: its maximum, ``map-max``, and ``map-mean``. For the arguments see ``PlaceScoring``.
    """

    map_names = ("mahalanobis",)

    def compare(self, network: Embedding, images: Tensor, inside: Tensor | None) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mahalanobis distances ``(B, h, w)`` from the Gaussian of the same place; see ``PlaceScoring``."""
        channels, means, whitening = (network.memory.get_buffer(name) for name in ("channels", "means", "whitening"))
        features = network.places(images)[:, channels]  # (B, d, h, w)
        differences = features.flatten(2).permute(2, 1, 0) - means[:, :, None]  # (P, d, B)
        with torch.autocast(images.device.type, enabled=False):  # which would multiply in bfloat16
            lengths = (whitening @ differences).norm(dim=1)  # (P, B)
        return lengths.T.unflatten(1, features.shape[2:]).contiguous(), {}
