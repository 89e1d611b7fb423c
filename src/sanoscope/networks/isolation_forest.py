"""Liu, Ting, Zhou: Isolation forest; of what a frozen network sees in whole images, as Ouardini et al. have it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sanoscope.networks.embedding import Embedding


class IsolationForest(Embedding):
    """A frozen network and trees that part normal images by one of its features at a time.

    Of ``T`` trees with up to ``N`` nodes, the root first, the memory holds:

    - ``branches`` ``(T, N, 2)``: the nodes for images whose feature is up to the threshold, and above it; a leaf is its
      own child;
    - ``feature`` and ``threshold`` ``(T, N)``: what parts the images at a node;
    - ``steps`` ``(T, N)``: from the root to a node;
    - ``images`` ``(T, N)``: how many of the tree's training images came to a node.

    Args:
        settings: As of ``Embedding``.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, remembered=("branches", "feature", "threshold", "steps", "images"))

    def leaves(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Where images end in each tree: the steps to the leaf and the training images in it, ``(B, T)`` each.

        Args:
            features: Of the images, ``(B, L)`` float32.
        """
        branches, feature, threshold, steps, images = (self.memory.get_buffer(name) for name in self.memory.names)
        trees = torch.arange(len(feature), device=features.device)
        nodes = torch.zeros(len(features), len(trees), dtype=torch.long, device=features.device)
        for _ in range(int(steps.max())):
            above = features.gather(1, feature[trees, nodes]) > threshold[trees, nodes]
            nodes = branches[trees, nodes, above.long()]
        return steps[trees, nodes], images[trees, nodes]
